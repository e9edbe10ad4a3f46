-- RUBiS' transactions that write, weighted about as in its bidding mix, for
-- `gemini advise --schema bench/sql/rubis-schema.sql --schema bench/sql/rubis-sample.sql bench/sql/rubis-workload.sql`.

-- register user: 1
INSERT INTO users (firstname, lastname, nickname, password, email, rating, balance, creation_date, region) VALUES ('a', 'b', 'fresh', 'p', 'e', 0, 0, NOW(), (SELECT id FROM regions WHERE name = 'AZ'));

-- register item: 2
INSERT INTO items (name, description, initial_price, quantity, reserve_price, buy_now, nb_of_bids, max_bid, start_date, end_date, seller, category) VALUES ('new', 'd', 1, 1, 1, 2, 0, 0, NOW(), NOW() + INTERVAL '7 days', 1, 1);

-- bid: 10
BEGIN;
INSERT INTO bids (user_id, item_id, qty, bid, max_bid, date) VALUES (2, 5, 2, 9, 12, NOW());
UPDATE items SET max_bid = 9 WHERE id = 5;
UPDATE items SET nb_of_bids = nb_of_bids + 1 WHERE id = 5;
COMMIT;

-- buy now: 2
BEGIN;
UPDATE items SET quantity = quantity - 1 WHERE id = 5;
INSERT INTO buy_now (buyer_id, item_id, qty, date) VALUES (3, 5, 1, NOW());
COMMIT;

-- auction closed: 1
UPDATE items SET end_date = NOW() WHERE id = 6;

-- comment: 2
BEGIN;
UPDATE users SET rating = rating + 5 WHERE id = 6;
INSERT INTO comments (from_user_id, to_user_id, item_id, rating, date, comment) VALUES (1, 6, 5, 5, NOW(), 'great');
COMMIT;

-- payment: 1
UPDATE users SET balance = balance + 10 WHERE id = 6;
