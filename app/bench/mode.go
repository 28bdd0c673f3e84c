package main

import "github.com/jackc/pgx/v5"

// execMode is the mode that Quintet uses by default. What is one statement for certain it
// sends by the simple protocol all the same: there is a stack that does so with everything.
const execMode = pgx.QueryExecModeExec
