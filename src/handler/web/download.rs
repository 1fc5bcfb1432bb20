//! What lies at an address, fetched over the guard: for keys that senders publish.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use crate::clock::Clock;

use super::{End, Guard, Web, request};
use crate::handler::BuildError;

/// Fetches from public addresses, and from those private ones that are named.
pub struct Downloader {
    web: Web,
}

impl Downloader {
    /// `time` is how long a whole fetch may take.
    pub fn new(
        allow: Vec<IpNet>,
        time: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            web: Web::with(reqwest::Client::builder(), Guard::public(allow), clock, time, 1)?,
        })
    }

    /// The body of a successful answer to GET, or to POST with this JSON; else why there is none.
    pub async fn fetch(&self, url: Url, json: Option<String>) -> Result<Vec<u8>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let (method, body) = match json {
            Some(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                (Method::POST, Bytes::from(json))
            }
            None => (Method::GET, Bytes::new()),
        };
        let answer = self.web.send(request(method, url, headers, body)).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        answer.judge().map_err(|failure| failure.to_string())?;
        match answer.end {
            End::Whole => Ok(answer.body),
            End::Cut => Err("the answer is too long or too slow".to_owned()),
            End::BrokenOff => Err("the answer broke off".to_owned()),
        }
    }
}
