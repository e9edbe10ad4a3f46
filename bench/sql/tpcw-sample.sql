-- A few rows of TPC-W, for `gemini advise` to work on.

INSERT INTO country (co_id, co_name, co_exchange, co_currency) VALUES (1, 'United States', 1, 'Dollars'), (2, 'Ireland', 0.625461, 'Pounds');
INSERT INTO address (addr_id, addr_street1, addr_street2, addr_city, addr_state, addr_zip, addr_co_id) SELECT g, 'street ' || g, 's2', 'city', 'st', 'zip', 1 + g % 2 FROM generate_series(1, 20) g;
INSERT INTO author SELECT g, 'fname' || g, 'lname' || g, 'm', DATE '1950-01-01' + g, 'bio' FROM generate_series(1, 5) g;
INSERT INTO item SELECT g, 'title ' || g, 1 + g % 5, DATE '2020-01-01' + g, 'publisher', CASE WHEN g % 2 = 0 THEN 'ARTS' ELSE 'BIOGRAPHIES' END, 'desc', NULL, NULL, NULL, NULL, NULL, 'thumb' || g, 'image' || g, 20.00 + g, 10.00 + g, DATE '2021-01-01', 10 + g, 'isbn' || g, 100, 'HARDBACK', '1x1x1' FROM generate_series(1, 20) g;
UPDATE item SET i_related1 = i_id % 20 + 1, i_related2 = (i_id + 1) % 20 + 1, i_related3 = (i_id + 2) % 20 + 1, i_related4 = (i_id + 3) % 20 + 1, i_related5 = (i_id + 4) % 20 + 1;
INSERT INTO customer SELECT g, 'user' || g, 'pw' || g, 'first' || g, 'last' || g, g, '555', 'u@x', DATE '2020-01-01', DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP '2020-01-01 02:00:00', 10.00, 0.00, 0.00, DATE '1980-01-01', 'data' FROM generate_series(1, 10) g;
INSERT INTO orders SELECT g, 1 + g % 10, TIMESTAMP '2021-01-01 00:00:00' + g * INTERVAL '1 day', 100, 8.25, 111.25, 'AIR', TIMESTAMP '2021-01-05 00:00:00', 1, 2, 'SHIPPED' FROM generate_series(1, 30) g;
INSERT INTO order_line SELECT 1 + g % 3, 1 + g / 3, 1 + g % 20, 1 + g % 4, 0.05, 'c' FROM generate_series(0, 89) g;
INSERT INTO cc_xacts SELECT g, 'VISA', '1234', 'name', DATE '2030-01-01', 'auth', 111.25, TIMESTAMP '2021-01-01 00:00:00', 1 FROM generate_series(1, 30) g;
INSERT INTO shopping_cart (sc_id, sc_time) VALUES (1, TIMESTAMP '2021-01-01 00:00:00');
INSERT INTO shopping_cart_line (scl_sc_id, scl_qty, scl_i_id) VALUES (1, 1, 7);
