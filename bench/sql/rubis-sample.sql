-- A few rows of RUBiS, for `gemini advise` to work on.

INSERT INTO regions (id, name) VALUES (1, 'AZ'), (2, 'NY');
INSERT INTO categories (id, name) VALUES (1, 'Books'), (2, 'Toys');
INSERT INTO users (id, firstname, lastname, nickname, password, email, rating, balance, creation_date, region) SELECT g, 'f' || g, 'l' || g, 'nick' || g, 'pw' || g, 'e' || g, 0, 0, TIMESTAMP '2020-01-01 00:00:00', 1 + g % 2 FROM generate_series(1, 10) g;
INSERT INTO items (id, name, description, initial_price, quantity, reserve_price, buy_now, nb_of_bids, max_bid, start_date, end_date, seller, category) SELECT g, 'item' || g, 'd', g, 10, g, g * 2, 0, 0, NOW() - INTERVAL '1 day', NOW() + g * INTERVAL '1 day', 1 + g % 10, 1 + g % 2 FROM generate_series(1, 20) g;
INSERT INTO items (id, name, description, initial_price, quantity, reserve_price, buy_now, nb_of_bids, max_bid, start_date, end_date, seller, category) VALUES (21, 'gone', 'd', 5, 1, 5, 9, 1, 7, NOW() - INTERVAL '9 days', NOW() - INTERVAL '2 days', 4, 1), (22, 'long gone', 'd', 5, 1, 5, 9, 0, 0, NOW() - INTERVAL '99 days', NOW() - INTERVAL '92 days', 4, 1);
INSERT INTO ids VALUES (0, 2, 2, 10, 22, 0, 0, 0);
