//! The engine seen from outside.

#[cfg(test)]
mod found;
#[cfg(test)]
mod push;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod scripts;
