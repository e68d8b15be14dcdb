//! Old data: serves series from blocks.
