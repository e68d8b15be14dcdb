//! The ingester over a real log, real blocks and a simulated machine.

#[cfg(test)]
mod blocks;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod node;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod seams;
#[cfg(test)]
mod stores;
