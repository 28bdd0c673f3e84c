-- The tables of the sales app, for SQLite. PostgreSQL has a file of its own
-- beside this one, because the two write an automatic id differently.

-- +goose Up
CREATE TABLE sales_region (
    id   integer PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL
);

CREATE TABLE sales_sale (
    id         integer PRIMARY KEY,
    region_id  integer NOT NULL REFERENCES sales_region (id),
    product    text NOT NULL,
    quantity   integer NOT NULL CHECK (quantity > 0),
    unit_price bigint NOT NULL CHECK (unit_price >= 0), -- in cents
    sold_at    timestamp NOT NULL
);

-- One region, newest first: what the list of a region reads.
CREATE INDEX sales_sale_region ON sales_sale (region_id, id);

-- +goose Down
DROP TABLE sales_sale;

DROP TABLE sales_region;
