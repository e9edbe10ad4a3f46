CREATE TABLE author (a_id serial PRIMARY KEY, a_fname varchar(20), a_lname varchar(20) NOT NULL, a_dob date, a_bio text);
CREATE TABLE item (i_id int PRIMARY KEY, i_title varchar(60) NOT NULL, i_a_id int REFERENCES author ON DELETE CASCADE, i_cost numeric(15,2) DEFAULT 0.00, i_stock int NOT NULL DEFAULT 0 CHECK (i_stock >= 0), i_isbn char(13) UNIQUE, i_total bigint GENERATED ALWAYS AS (i_stock * 2) STORED, i_pub timestamptz DEFAULT now(), "Odd Name" uuid);
CREATE INDEX item_title_cost ON item (i_title, i_cost DESC);
CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int, body bytea, x float8, y real, z smallint, f boolean DEFAULT true, ts timestamp, iv interval, UNIQUE (a, b));
CREATE TABLE pair (p int, q int, r int, PRIMARY KEY (p, q), CONSTRAINT pair_note FOREIGN KEY (p, q) REFERENCES note (a, b) ON UPDATE CASCADE ON DELETE SET NULL);
CREATE SEQUENCE counter START 5 INCREMENT 2;
