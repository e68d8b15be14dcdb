//! Accepts writes: decodes, checks, routes series to groups.
