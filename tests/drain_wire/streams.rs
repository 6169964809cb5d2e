//! Watches that are disturbed.

use crate::proxy::{CUT, Reply, Trouble};
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use std::time::Duration;
use tokio::sync::mpsc;

type From = UnsyncBoxBody<Bytes, Trouble>;
type To = mpsc::Sender<Result<Frame<Bytes>, Trouble>>;

/// Cut in the middle of its first event.
pub fn cut_in_first(reply: Reply) -> Reply {
    through(reply, |mut from, to| async move {
        if let Some(Ok(frame)) = from.frame().await
            && let Ok(data) = frame.into_data()
        {
            let half = data.slice(..data.len() / 2);
            let _ = to.send(Ok(Frame::data(half))).await;
        }
        let _ = to.send(Err(CUT.into())).await;
    })
}

/// Nothing for a while, and then all of it.
pub fn later(reply: Reply, time: Duration) -> Reply {
    through(reply, move |mut from, to| async move {
        tokio::time::sleep(time).await;
        while let Some(frame) = from.frame().await {
            if to.send(frame).await.is_err() {
                return;
            }
        }
    })
}

/// Nothing, until the API server ends it.
pub fn mute(reply: Reply) -> Reply {
    through(reply, |mut from, to| async move {
        while let Some(Ok(_)) = from.frame().await {
            if to.is_closed() {
                return;
            }
        }
    })
}

fn through<F>(reply: Reply, pass: impl FnOnce(From, To) -> F) -> Reply
where
    F: Future<Output = ()> + Send + 'static,
{
    let (head, body) = reply.into_parts();
    let (sender, mut pieces) = mpsc::channel(16);
    tokio::spawn(pass(body, sender));
    let stream = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
    Response::from_parts(head, StreamBody::new(stream).boxed_unsync())
}
