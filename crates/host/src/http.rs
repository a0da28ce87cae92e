//! HTTP calls between nodes.

#[cfg(turmoil)]
mod simulated;

#[cfg(not(turmoil))]
pub use reqwest::{Client, ClientBuilder, Error, RequestBuilder, Response, StatusCode, redirect};

#[cfg(turmoil)]
pub use simulated::{Client, ClientBuilder, Error, RequestBuilder, Response, StatusCode, redirect};
