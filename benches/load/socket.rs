//! A WebSocket client that uses little CPU and memory: no buffer while it is idle, no parsing beyond the frame.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::Result;

/// One socket; text messages only.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// Bytes that were read beyond the last message.
    rest: Vec<u8>,
}

impl Socket {
    /// Opens a socket at `path` with the subprotocol graphql-transport-ws.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut rest = Vec::new();
        let end = loop {
            if stream.read_buf(&mut rest).await? == 0 {
                return Err("the server refused a socket".into());
            }
            if let Some(at) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        if !rest.starts_with(b"HTTP/1.1 101") {
            return Err(format!("no socket: {}", String::from_utf8_lossy(&rest)).into());
        }
        rest.drain(..end);
        Ok(Self { stream, rest })
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        self.send_frame(0x81, text.as_bytes()).await
    }

    async fn send_frame(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        let mut frame = vec![first];
        match u16::try_from(payload.len())? {
            short @ ..126 => frame.push(0x80 | u8::try_from(short)?),
            long => {
                frame.push(0x80 | 0x7e);
                frame.extend(long.to_be_bytes());
            }
        }
        // Frames of a client must be masked. A mask of zero leaves the payload as it is.
        frame.extend([0; 4]);
        frame.extend(payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Returns the next text message and replies to pings before it.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            while let Some((opcode, start, end)) = frame(&self.rest) {
                let payload = self.rest[start..end].to_vec();
                self.rest.drain(..end);
                if self.rest.is_empty() {
                    self.rest = Vec::new();
                }
                match opcode {
                    1 => return Ok(payload),
                    9 => self.send_frame(0x8a, &payload).await?,
                    8 => return Err(format!("closed: {}", String::from_utf8_lossy(&payload)).into()),
                    _ => {}
                }
            }
            self.stream.readable().await?;
            let mut chunk = [0; 8_192];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err("the server dropped a socket".into()),
                Ok(count) => self.rest.extend(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the next text message, or `None` after `limit`.
    pub(crate) async fn next_within(&mut self, limit: std::time::Duration) -> Result<Option<Vec<u8>>> {
        // Cancel-safe: bytes that were read stay in `rest`.
        tokio::time::timeout(limit, self.next()).await.map_or(Ok(None), |message| message.map(Some))
    }

    /// Reads up to a message that contains `word`.
    pub(crate) async fn until(&mut self, word: &str) -> Result<Vec<u8>> {
        loop {
            let message = self.next().await?;
            if contains(&message, word) {
                return Ok(message);
            }
            if contains(&message, "\"errors\"") || contains(&message, "\"error\"") {
                return Err(String::from_utf8_lossy(&message).into());
            }
        }
    }
}

pub(crate) fn contains(message: &[u8], word: &str) -> bool {
    message.windows(word.len()).any(|part| part == word.as_bytes())
}

/// The opcode and the payload's bounds of the first frame; `None` while it is incomplete.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start, start + length))
}
