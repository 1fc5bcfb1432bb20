//! One request of HTTP/2 and its answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, ConnectionType, Payload, StatusCode};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::Response;
use bytes::Bytes;
use futures_util::{Stream, future};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

use super::head;
use crate::clock::Timestamp;
use crate::http::connections::Registration;
use crate::http::control::Phase;
use crate::http::problem::Problem;
use crate::http::public::{self, Public};
use crate::ingest::RefusedFor;

/// What became of a request.
pub(super) struct Exchange {
    pub(super) end: End,
    /// The client is to connect anew for its next one.
    pub(super) is_last: bool,
}

pub(super) enum End {
    Answered(AnswerInFlight),
    /// The client took it back, or it was ended from beside.
    Gone,
}

/// An answer that is on its way.
pub(super) struct AnswerInFlight {
    place: Registration,
    stream: SendStream<Bytes>,
}

impl AnswerInFlight {
    /// Everything was written. A client that took its request back has not seen the answer.
    pub(super) fn confirm(mut self) {
        if self.stream.poll_reset(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.place.control().confirm_answers();
        }
    }

    pub(super) fn must_close(&self, context: &Context<'_>) -> bool {
        self.place.control().must_close(context)
    }
}

/// Answers one request, in the place that it has among the connections.
pub(super) async fn answer(
    public: Arc<Public>,
    place: Registration,
    peer: Option<SocketAddr>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Exchange {
    let (parts, body) = request.into_parts();
    let is_head = parts.method == http::Method::HEAD;
    let response = match future::select(
        pin!(response(&public, &place, peer, parts, body, &mut respond)),
        pin!(place.control().closed()),
    )
    .await
    {
        future::Either::Left((response, _)) => Some(response),
        future::Either::Right(_) => None,
    };
    let Some(response) = response else {
        respond.send_reset(match place.control().phase() {
            // Nothing of it was stored, so that it may be sent again at once.
            Phase::Head | Phase::Body => Reason::REFUSED_STREAM,
            Phase::Answer | Phase::Discard => Reason::INTERNAL_ERROR,
        });
        return Exchange { end: End::Gone, is_last: false };
    };
    // What waits now is the client's taking of the answer.
    place.set(Phase::Head);
    let is_last = response.head().connection_type() == ConnectionType::Close;
    let now = public.now();
    let sent = {
        let sending = pin!(send(respond, response, is_head, now));
        match future::select(sending, pin!(place.control().closed())).await {
            future::Either::Left((sent, _)) => sent.ok(),
            future::Either::Right(_) => None,
        }
    };
    let end = sent.map_or(End::Gone, |stream| End::Answered(AnswerInFlight { place, stream }));
    Exchange { end, is_last }
}

async fn response(
    public: &Public,
    place: &Registration,
    peer: Option<SocketAddr>,
    parts: http::request::Parts,
    body: RecvStream,
    respond: &mut SendResponse<Bytes>,
) -> Response<BoxBody> {
    let payload = if body.is_end_stream() {
        Payload::None
    } else {
        let body: BoxedPayloadStream = Box::pin(StreamBody(body));
        Payload::Stream { payload: body }
    };
    match head::request(parts, payload, peer) {
        Ok(request) => {
            if head::is_waiting(&request)
                && public.is_welcome(&request)
                && let Ok(go_on) =
                    http::Response::builder().status(http::StatusCode::CONTINUE).body(())
                && respond.send_informational(go_on).is_err()
            {
                // The client is gone; what it has sent is looked at all the same.
                return Response::new(StatusCode::BAD_REQUEST).set_body(BoxBody::new(()));
            }
            public::serve(request, public, Some(place.control())).await
        }
        Err(head::Refused::TooLarge) => {
            place.report(RefusedFor::HeadTooLarge);
            Response::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).set_body(BoxBody::new(()))
        }
        Err(head::Refused::Malformed) => {
            place.report(RefusedFor::Malformed);
            Problem::BadRequest.response().into()
        }
    }
}

/// Hands the answer to h2 as far as the client has room for it.
async fn send(
    mut respond: SendResponse<Bytes>,
    response: Response<BoxBody>,
    is_head: bool,
    now: Timestamp,
) -> Result<SendStream<Bytes>, h2::Error> {
    let (response, body) = response.into_parts();
    // Every answer of the public listener is in memory.
    let mut body = body.try_into_bytes().unwrap_or_default();
    let head = head::response(response.head(), body.len(), now);
    let is_end = is_head || body.is_empty();
    let mut stream = respond.send_response(head, is_end)?;
    while !is_end && !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(room) = poll_fn(|context| stream.poll_capacity(context)).await else {
            return Err(Reason::CANCEL.into());
        };
        let piece = body.split_to(room?.min(body.len()));
        if !piece.is_empty() {
            stream.send_data(piece, body.is_empty())?;
        }
    }
    Ok(stream)
}

/// What comes of a body; what was taken makes room for more.
struct StreamBody(RecvStream);

impl Stream for StreamBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut self.get_mut().0;
        stream.poll_data(context).map(|chunk| {
            let chunk = chunk?;
            let taken = chunk.and_then(|chunk| {
                stream.flow_control().release_capacity(chunk.len()).map(|()| chunk)
            });
            // Which part of the protocol broke makes no difference.
            Some(taken.map_err(|_| PayloadError::Incomplete(None)))
        })
    }
}
