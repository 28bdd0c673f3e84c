-- +goose Up
CREATE TABLE note (id integer PRIMARY KEY);

-- +goose Down
DROP TABLE note;
