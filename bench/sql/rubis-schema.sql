-- RUBiS, the auction site of Rice University, as plain PostgreSQL.

CREATE TABLE regions (
  id   SERIAL PRIMARY KEY,
  name VARCHAR(25) NOT NULL
);

CREATE TABLE categories (
  id   SERIAL PRIMARY KEY,
  name VARCHAR(50) NOT NULL
);

CREATE TABLE users (
  id            SERIAL PRIMARY KEY,
  firstname     VARCHAR(20) NOT NULL,
  lastname      VARCHAR(20) NOT NULL,
  nickname      VARCHAR(20) NOT NULL UNIQUE,
  password      VARCHAR(20) NOT NULL,
  email         VARCHAR(50) NOT NULL,
  rating        INT NOT NULL,
  balance       NUMERIC(12,2) NOT NULL,
  creation_date TIMESTAMP NOT NULL,
  region        INT NOT NULL REFERENCES regions (id)
);
CREATE INDEX users_region ON users (region);

CREATE TABLE items (
  id            SERIAL PRIMARY KEY,
  name          VARCHAR(100) NOT NULL,
  description   TEXT NOT NULL,
  initial_price NUMERIC(12,2) NOT NULL,
  quantity      INT NOT NULL CHECK (quantity >= 0),
  reserve_price NUMERIC(12,2) NOT NULL,
  buy_now       NUMERIC(12,2) NOT NULL,
  nb_of_bids    INT NOT NULL,
  max_bid       NUMERIC(12,2) NOT NULL,
  start_date    TIMESTAMP NOT NULL,
  end_date      TIMESTAMP NOT NULL,
  seller        INT NOT NULL REFERENCES users (id),
  category      INT NOT NULL REFERENCES categories (id)
);
CREATE INDEX items_seller ON items (seller);
CREATE INDEX items_category ON items (category);

-- Items whose auction is over, as a nightly job of the application copies them.
CREATE TABLE old_items (
  id            INT PRIMARY KEY,
  name          VARCHAR(100) NOT NULL,
  description   TEXT NOT NULL,
  initial_price NUMERIC(12,2) NOT NULL,
  quantity      INT NOT NULL,
  reserve_price NUMERIC(12,2) NOT NULL,
  buy_now       NUMERIC(12,2) NOT NULL,
  nb_of_bids    INT NOT NULL,
  max_bid       NUMERIC(12,2) NOT NULL,
  start_date    TIMESTAMP NOT NULL,
  end_date      TIMESTAMP NOT NULL,
  seller        INT NOT NULL REFERENCES users (id),
  category      INT NOT NULL REFERENCES categories (id)
);
CREATE INDEX old_items_seller ON old_items (seller);

CREATE TABLE bids (
  id      SERIAL PRIMARY KEY,
  user_id INT NOT NULL REFERENCES users (id),
  item_id INT NOT NULL REFERENCES items (id),
  qty     INT NOT NULL,
  bid     NUMERIC(12,2) NOT NULL,
  max_bid NUMERIC(12,2) NOT NULL,
  date    TIMESTAMP NOT NULL
);
CREATE INDEX bids_item ON bids (item_id);
CREATE INDEX bids_user ON bids (user_id);

CREATE TABLE comments (
  id           SERIAL PRIMARY KEY,
  from_user_id INT NOT NULL REFERENCES users (id),
  to_user_id   INT NOT NULL REFERENCES users (id),
  item_id      INT NOT NULL REFERENCES items (id),
  rating       INT NOT NULL,
  date         TIMESTAMP NOT NULL,
  comment      TEXT NOT NULL
);
CREATE INDEX comments_to_user ON comments (to_user_id);
CREATE INDEX comments_item ON comments (item_id);

CREATE TABLE buy_now (
  id       SERIAL PRIMARY KEY,
  buyer_id INT NOT NULL REFERENCES users (id),
  item_id  INT NOT NULL REFERENCES items (id),
  qty      INT NOT NULL,
  date     TIMESTAMP NOT NULL
);
CREATE INDEX buy_now_buyer ON buy_now (buyer_id);

-- Where the application's variants without SERIAL columns count their ids.
CREATE TABLE ids (
  id       INT PRIMARY KEY,
  category INT NOT NULL,
  region   INT NOT NULL,
  users    INT NOT NULL,
  item     INT NOT NULL,
  comment  INT NOT NULL,
  bid      INT NOT NULL,
  buy_now  INT NOT NULL
);
