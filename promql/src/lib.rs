//! The language: parse, plan, execute. Knows no role.
