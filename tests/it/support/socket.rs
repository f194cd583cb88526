//! A WebSocket client that speaks no protocol of its own: it sends what the test gives it, also what no browser would.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// Why a socket did not open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
}

impl Socket {
    /// Opens a socket with these request headers.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Refused> {
        Self::open_at(address, "/graphql", headers).await
    }

    /// Opens a socket at this path.
    pub(crate) async fn open_at(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match timeout(PATIENCE, connect_async(request)).await.expect("an answer to the upgrade") {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(Refused {
                status: response.status().as_u16(),
                retry_after: response.headers().contains_key("retry-after"),
            }),
            Err(error) => panic!("the upgrade failed: {error}"),
        }
    }

    /// Opens a socket that offers `protocol`.
    pub(crate) async fn speaking(address: SocketAddr, protocol: &str) -> Self {
        Self::open(address, &[("sec-websocket-protocol", protocol)]).await.expect("an open socket")
    }

    /// Opens a socket to a server that may be gone.
    pub(crate) async fn try_speaking(address: SocketAddr, protocol: &'static str) -> Option<Self> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.ok()?.ok()?;
        Some(Self(socket))
    }

    /// The next text message of a server that may be gone; `None` when it is.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.ok()? {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    pub(crate) async fn send(&mut self, text: impl ToString) {
        self.send_raw(Message::text(text.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        timeout(PATIENCE, self.0.send(message)).await.expect("room to send").expect("an open socket");
    }

    /// Writes bytes past the protocol, as far as the server takes them within a moment.
    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else { panic!("a plain connection") };
        let _ = timeout(Duration::from_secs(2), stream.write_all(bytes)).await;
    }

    /// Like `send`, for a socket that the server may close meanwhile or stop reading from; false then.
    pub(crate) async fn try_send(&mut self, text: impl ToString) -> bool {
        matches!(timeout(PATIENCE, self.0.send(Message::text(text.to_string()))).await, Ok(Ok(())))
    }

    /// The next message of any kind; `None` at the end.
    pub(crate) async fn next_raw(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("a message in time")
    }

    /// The next text message, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.next_raw().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("instead of a message: {other:?}"),
            }
        }
    }

    /// Reads up to the close frame; its code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next_raw().await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("instead of a close frame: {other:?}"),
            }
        }
    }
}
