//! What the program can be trusted with: evidence, which it only looks at; data of somebody hostile, whose names
//! never reach a terminal raw; volumes that fail while it reads them.

#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
mod common;
mod failing;
mod hostile_names;
mod traced;
mod unsafe_code;
