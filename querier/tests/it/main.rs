//! The API from outside: requests in, bytes out, over a small store in memory.

#[cfg(test)]
mod active;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod federate;
#[cfg(test)]
mod front;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod live;
#[cfg(test)]
mod live_federate;
#[cfg(test)]
mod live_remote_read;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod query_log;
#[cfg(test)]
mod remote_read;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod world;
