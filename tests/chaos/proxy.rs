//! A small TCP proxy between everybody and the daemon: it cuts, stalls and delays.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Connections are lost, and new ones refused.
    Cut,
    /// Connections stay, and nothing comes through: as when the other side's cable is pulled.
    Stall,
    /// Every piece comes so much later.
    Delay(Duration),
}

#[derive(Clone)]
pub(crate) struct Proxy {
    mode: watch::Sender<Mode>,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        Self { mode: watch::Sender::new(Mode::Pass), target: watch::Sender::new(None) }
    }

    pub(crate) fn leads_to(&self, daemon: SocketAddr) {
        self.target.send_replace(Some(daemon));
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Listens there as well; where, since the port may be 0.
    pub(crate) async fn listen(&self, at: &str) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let proxy = self.clone();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().carry(from));
            }
        });
        Ok(address)
    }

    async fn carry(self, from: TcpStream) {
        let target = *self.target.borrow();
        let (Mode::Pass | Mode::Stall | Mode::Delay(_), Some(target)) = (*self.mode.borrow(), target) else { return };
        let Ok(to) = TcpStream::connect(target).await else { return };
        // Neither side may wait for the other's acknowledgement of small pieces.
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
        let mut mode = self.mode.subscribe();
        tokio::select! {
            _ = pump(from_read, to_write, self.mode.subscribe()) => {}
            _ = pump(to_read, from_write, self.mode.subscribe()) => {}
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        }
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) -> io::Result<()> {
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass | Mode::Cut => {}
            Mode::Stall => drop(mode.wait_for(|mode| *mode != Mode::Stall).await),
            Mode::Delay(by) => tokio::time::sleep(by).await, // The delay itself.
        }
        to.write_all(&piece[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        address
    }

    #[tokio::test]
    async fn it_passes_stalls_and_cuts() {
        let proxy = Proxy::new();
        proxy.leads_to(echo().await);
        let mut stream = TcpStream::connect(proxy.listen("127.0.0.1:0").await.unwrap()).await.unwrap();
        let mut word = [0; 5];
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
        proxy.set(Mode::Stall);
        stream.write_all(b"there").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut word)).await;
        assert!(silence.is_err(), "nothing comes through");
        proxy.set(Mode::Pass);
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"there");
        proxy.set(Mode::Cut);
        assert!(matches!(stream.read(&mut word).await, Ok(0) | Err(_)), "the connection is lost");
    }
}
