-- How concurrent effects on TPC-W's tables combine. The schema above stays as it is; these lines only make it faster.
-- docs/tpcw.md explains each of them.

-- Never deleted, keys never change: inserts with minted keys are blue, and so are foreign keys to these tables.
ALTER TABLE country       SET ROWS APPEND ONLY;
ALTER TABLE address       SET ROWS APPEND ONLY;
ALTER TABLE author        SET ROWS APPEND ONLY;
ALTER TABLE customer      SET ROWS APPEND ONLY;
ALTER TABLE item          SET ROWS APPEND ONLY;
ALTER TABLE orders        SET ROWS APPEND ONLY;
ALTER TABLE order_line    SET ROWS APPEND ONLY;
ALTER TABLE cc_xacts      SET ROWS APPEND ONLY;
ALTER TABLE shopping_cart SET ROWS APPEND ONLY;

-- A sale subtracts, a restock adds; CHECK (i_stock >= 0) still holds everywhere.
ALTER TABLE item ALTER COLUMN i_stock SET MERGE DELTA;

-- An editor's last word wins.
ALTER TABLE item ALTER COLUMN i_cost      SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_pub_date  SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_thumbnail SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_image     SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_related1  SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_related2  SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_related3  SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_related4  SET MERGE LWW;
ALTER TABLE item ALTER COLUMN i_related5  SET MERGE LWW;

-- A customer's session times.
ALTER TABLE customer ALTER COLUMN c_login      SET MERGE LWW;
ALTER TABLE customer ALTER COLUMN c_expiration SET MERGE LWW;
ALTER TABLE customer ALTER COLUMN c_last_login SET MERGE LWW;

-- Carts: the latest quantity wins; a line that is changed while another site removes it stays.
ALTER TABLE shopping_cart      ALTER COLUMN sc_time SET MERGE LWW;
ALTER TABLE shopping_cart_line ALTER COLUMN scl_qty SET MERGE LWW;
ALTER TABLE shopping_cart_line SET ROWS ADD WINS, KEYS TRUSTED;
