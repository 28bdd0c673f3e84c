package main

import "github.com/jackc/pgx/v5"

// execMode is the mode that Quintet uses by default, so that all ask alike.
const execMode = pgx.QueryExecModeExec
