//! The API from outside: requests in, bytes out, over a small store in memory.

#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod errors;
mod federate;
#[cfg(test)]
mod front;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod live;
mod live_federate;
#[cfg(test)]
mod prometheus;
mod queries;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod world;
