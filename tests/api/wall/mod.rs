//! The wall between organizations, walked along from every side. Invariant: these tests are generated from the
//! database's catalog and from the schema, so that a new table, type or field is held by them without anybody writing
//! a test for it; what they cannot reach makes them fail.

mod catalog;
