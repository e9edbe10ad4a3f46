-- TPC-W (clause 1.4 of the specification) as plain PostgreSQL: loads unchanged into PostgreSQL and into Gemini,
-- where, without annotations, every write is red. tpcw-annotations.sql makes it fast.

CREATE TABLE country (
  co_id       SERIAL PRIMARY KEY,
  co_name     VARCHAR(50) NOT NULL,
  co_exchange NUMERIC(12,6) NOT NULL,
  co_currency VARCHAR(18) NOT NULL
);
CREATE INDEX country_name ON country (co_name);

CREATE TABLE address (
  addr_id      SERIAL PRIMARY KEY,
  addr_street1 VARCHAR(40) NOT NULL,
  addr_street2 VARCHAR(40) NOT NULL,
  addr_city    VARCHAR(30) NOT NULL,
  addr_state   VARCHAR(20) NOT NULL,
  addr_zip     VARCHAR(10) NOT NULL,
  addr_co_id   INT NOT NULL REFERENCES country (co_id)
);
CREATE INDEX address_zip ON address (addr_zip);

CREATE TABLE customer (
  c_id         SERIAL PRIMARY KEY,
  c_uname      VARCHAR(20) NOT NULL,
  c_passwd     VARCHAR(20) NOT NULL,
  c_fname      VARCHAR(17) NOT NULL,
  c_lname      VARCHAR(17) NOT NULL,
  c_addr_id    INT NOT NULL REFERENCES address (addr_id),
  c_phone      VARCHAR(18) NOT NULL,
  c_email      VARCHAR(50) NOT NULL,
  c_since      DATE NOT NULL,
  c_last_login DATE NOT NULL,
  c_login      TIMESTAMP NOT NULL,
  c_expiration TIMESTAMP NOT NULL,
  c_discount   NUMERIC(5,2) NOT NULL,
  c_balance    NUMERIC(12,2) NOT NULL,
  c_ytd_pmt    NUMERIC(12,2) NOT NULL,
  c_birthdate  DATE NOT NULL,
  c_data       VARCHAR(510) NOT NULL
);
CREATE INDEX customer_uname ON customer (c_uname);

CREATE TABLE author (
  a_id    SERIAL PRIMARY KEY,
  a_fname VARCHAR(20) NOT NULL,
  a_lname VARCHAR(20) NOT NULL,
  a_mname VARCHAR(20) NOT NULL,
  a_dob   DATE NOT NULL,
  a_bio   VARCHAR(500) NOT NULL
);
CREATE INDEX author_lname ON author (a_lname);

CREATE TABLE item (
  i_id         SERIAL PRIMARY KEY,
  i_title      VARCHAR(60) NOT NULL,
  i_a_id       INT NOT NULL REFERENCES author (a_id),
  i_pub_date   DATE NOT NULL,
  i_publisher  VARCHAR(60) NOT NULL,
  i_subject    VARCHAR(60) NOT NULL,
  i_desc       VARCHAR(500) NOT NULL,
  i_related1   INT REFERENCES item (i_id),
  i_related2   INT REFERENCES item (i_id),
  i_related3   INT REFERENCES item (i_id),
  i_related4   INT REFERENCES item (i_id),
  i_related5   INT REFERENCES item (i_id),
  i_thumbnail  VARCHAR(60) NOT NULL,
  i_image      VARCHAR(60) NOT NULL,
  i_srp        NUMERIC(12,2) NOT NULL,
  i_cost       NUMERIC(12,2) NOT NULL,
  i_avail      DATE NOT NULL,
  i_stock      INT NOT NULL CHECK (i_stock >= 0),
  i_isbn       CHAR(13) NOT NULL,
  i_page       INT NOT NULL,
  i_backing    VARCHAR(15) NOT NULL,
  i_dimensions VARCHAR(25) NOT NULL
);
CREATE INDEX item_subject ON item (i_subject);
CREATE INDEX item_title ON item (i_title);
CREATE INDEX item_author ON item (i_a_id);

CREATE TABLE orders (
  o_id           SERIAL PRIMARY KEY,
  o_c_id         INT NOT NULL REFERENCES customer (c_id),
  o_date         TIMESTAMP NOT NULL,
  o_sub_total    NUMERIC(12,2) NOT NULL,
  o_tax          NUMERIC(12,2) NOT NULL,
  o_total        NUMERIC(12,2) NOT NULL,
  o_ship_type    VARCHAR(10) NOT NULL,
  o_ship_date    TIMESTAMP NOT NULL,
  o_bill_addr_id INT NOT NULL REFERENCES address (addr_id),
  o_ship_addr_id INT NOT NULL REFERENCES address (addr_id),
  o_status       VARCHAR(16) NOT NULL
);
CREATE INDEX orders_customer ON orders (o_c_id);

CREATE TABLE order_line (
  ol_id       INT NOT NULL,
  ol_o_id     INT NOT NULL REFERENCES orders (o_id),
  ol_i_id     INT NOT NULL REFERENCES item (i_id),
  ol_qty      INT NOT NULL,
  ol_discount NUMERIC(5,2) NOT NULL,
  ol_comments VARCHAR(110) NOT NULL,
  PRIMARY KEY (ol_o_id, ol_id)
);
CREATE INDEX order_line_item ON order_line (ol_i_id);

CREATE TABLE cc_xacts (
  cx_o_id      INT PRIMARY KEY REFERENCES orders (o_id),
  cx_type      VARCHAR(10) NOT NULL,
  cx_num       VARCHAR(20) NOT NULL,
  cx_name      VARCHAR(30) NOT NULL,
  cx_expire    DATE NOT NULL,
  cx_auth_id   CHAR(15),
  cx_xact_amt  NUMERIC(12,2) NOT NULL,
  cx_xact_date TIMESTAMP NOT NULL,
  cx_co_id     INT NOT NULL REFERENCES country (co_id)
);

CREATE TABLE shopping_cart (
  sc_id   SERIAL PRIMARY KEY,
  sc_time TIMESTAMP NOT NULL
);

CREATE TABLE shopping_cart_line (
  scl_sc_id INT NOT NULL REFERENCES shopping_cart (sc_id),
  scl_i_id  INT NOT NULL REFERENCES item (i_id),
  scl_qty   INT NOT NULL,
  PRIMARY KEY (scl_sc_id, scl_i_id)
);
