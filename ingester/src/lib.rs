//! Recent data: replicated heads, and their cut into blocks.
