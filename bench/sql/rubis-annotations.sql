-- How concurrent effects on RUBiS's tables combine.

ALTER TABLE regions    SET ROWS APPEND ONLY;
ALTER TABLE categories SET ROWS APPEND ONLY;
ALTER TABLE users      SET ROWS APPEND ONLY;
ALTER TABLE items      SET ROWS APPEND ONLY;
ALTER TABLE old_items  SET ROWS APPEND ONLY;
ALTER TABLE bids       SET ROWS APPEND ONLY;
ALTER TABLE comments   SET ROWS APPEND ONLY;
ALTER TABLE buy_now    SET ROWS APPEND ONLY;

-- Ratings and bid counts add up; quantity never falls below zero; the highest bid stands.
ALTER TABLE users ALTER COLUMN rating     SET MERGE DELTA;
ALTER TABLE items ALTER COLUMN nb_of_bids SET MERGE DELTA;
ALTER TABLE items ALTER COLUMN quantity   SET MERGE DELTA;
ALTER TABLE items ALTER COLUMN max_bid    SET MERGE MAX;
ALTER TABLE items ALTER COLUMN end_date   SET MERGE LWW;
ALTER TABLE users ALTER COLUMN balance    SET MERGE DELTA;
