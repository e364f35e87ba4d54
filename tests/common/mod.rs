//! Real servers for the tests. Each test binary uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod bad_input;
pub mod cli;
pub mod fingerprint;
pub mod lifeboat;
pub mod postgres;
pub mod proxy;
pub mod s3;
