//! Databases: one trait, one room for each engine.

pub mod postgres;
