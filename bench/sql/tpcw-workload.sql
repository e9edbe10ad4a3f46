-- TPC-W's transactions that write, and how often each runs in a hundred interactions of the ordering mix (TPC-W 1.8, clause
-- 5.2.1.3), for `gemini advise --schema bench/sql/tpcw-schema.sql --schema bench/sql/tpcw-sample.sql bench/sql/tpcw-workload.sql`.

-- shopping cart, new: 5
BEGIN;
INSERT INTO shopping_cart (sc_time) VALUES (CURRENT_TIMESTAMP);
INSERT INTO shopping_cart_line (scl_sc_id, scl_qty, scl_i_id) VALUES (currval('shopping_cart_sc_id_seq'), 1, 3);
COMMIT;

-- shopping cart, changed: 8
BEGIN;
INSERT INTO shopping_cart_line (scl_sc_id, scl_qty, scl_i_id) VALUES (1, 1, 5);
UPDATE shopping_cart_line SET scl_qty = 2 WHERE scl_sc_id = 1 AND scl_i_id = 7;
UPDATE shopping_cart SET sc_time = CURRENT_TIMESTAMP WHERE sc_id = 1;
COMMIT;

-- shopping cart, line removed: 1
BEGIN;
DELETE FROM shopping_cart_line WHERE scl_sc_id = 1 AND scl_i_id = 5;
UPDATE shopping_cart SET sc_time = CURRENT_TIMESTAMP WHERE sc_id = 1;
COMMIT;

-- customer registration, new customer: 3
BEGIN;
INSERT INTO address (addr_street1, addr_street2, addr_city, addr_state, addr_zip, addr_co_id) VALUES ('new', 's2', 'city', 'st', 'zip', 2);
INSERT INTO customer (c_uname, c_passwd, c_fname, c_lname, c_addr_id, c_phone, c_email, c_since, c_last_login, c_login, c_expiration, c_discount, c_balance, c_ytd_pmt, c_birthdate, c_data)
VALUES ('OGBABA', 'ogbaba', 'f', 'l', currval('address_addr_id_seq'), 'p', 'e', CURRENT_DATE, CURRENT_DATE, NOW(), NOW() + INTERVAL '2 hours', 10.5, 0, 0, DATE '1980-01-01', 'data');
COMMIT;

-- buy request, known customer: 10
UPDATE customer SET c_login = NOW(), c_expiration = CURRENT_TIMESTAMP + INTERVAL '2 hours' WHERE c_id = 3;

-- log-in: 1
UPDATE customer SET c_last_login = CURRENT_DATE WHERE c_id = 3;

-- buy confirm: 10
BEGIN;
INSERT INTO orders (o_c_id, o_date, o_sub_total, o_tax, o_total, o_ship_type, o_ship_date, o_bill_addr_id, o_ship_addr_id, o_status)
VALUES (3, CURRENT_DATE, 100, 8.25, 111.25, 'AIR', CURRENT_DATE + INTERVAL '3 days', 1, 2, 'Pending');
INSERT INTO order_line (ol_id, ol_o_id, ol_i_id, ol_qty, ol_discount, ol_comments) VALUES (1, currval('orders_o_id_seq'), 3, 2, 0.1, ''), (2, currval('orders_o_id_seq'), 4, 1, 0.1, '');
INSERT INTO cc_xacts (cx_o_id, cx_type, cx_num, cx_name, cx_expire, cx_xact_amt, cx_xact_date, cx_co_id)
VALUES (currval('orders_o_id_seq'), 'VISA', '1', 'n', DATE '2030-01-01', 111.25, CURRENT_DATE, (SELECT co_id FROM address, country WHERE addr_id = 1 AND addr_co_id = co_id));
UPDATE item SET i_stock = i_stock - 2 WHERE i_id = 3;
UPDATE item SET i_stock = i_stock - 1 WHERE i_id = 4;
DELETE FROM shopping_cart_line WHERE scl_sc_id = 1;
COMMIT;

-- restock: 1
UPDATE item SET i_stock = i_stock + 21 WHERE i_id = 3;

-- admin confirm: 1
BEGIN;
UPDATE item SET i_cost = 12.50, i_image = 'img', i_thumbnail = 'thb', i_pub_date = CURRENT_DATE WHERE i_id = 5;
UPDATE item SET i_related1 = 8, i_related2 = 12, i_related3 = 16, i_related4 = 20, i_related5 = 4 WHERE i_id = 5;
COMMIT;
