//! The engine seen from outside.

#[cfg(test)]
mod push;
mod queries;
#[cfg(test)]
mod scripts;
