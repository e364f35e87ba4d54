//! Real servers for the tests. Each test binary uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod bad_input;
pub mod bad_mongo;
pub mod certificates;
pub mod cli;
pub mod fingerprint;
pub mod fingerprint_mongo;
pub mod gateway;
pub mod kitchen_mongo;
pub mod kitchen_mongo_values;
pub mod kitchen_neo4j;
pub mod lifeboat;
pub mod mongo;
pub mod mongo_load;
pub mod mongo_process;
pub mod mongo_world;
pub mod neo4j;
pub mod neo4j_process;
pub mod neo_service;
pub mod postgres;
pub mod proxy;
pub mod s3;
pub mod tripwire;
