//! Keys without Enter, for as long as the picture stays.

use std::io::Read;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// The keyboard; it is given back as it was.
pub(super) struct Keyboard {
    /// Absent where standard input is no terminal: then there are no keys.
    before: Option<Termios>,
    keys: mpsc::Receiver<u8>,
}

impl Keyboard {
    pub(super) fn open() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut single = before.clone();
            single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            // Where it cannot be changed, q and Enter do.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &single);
        }
        let (pressed, keys) = mpsc::channel(16);
        if before.is_some() {
            // It ends with the process: a thread that waits for a key cannot be called off.
            std::thread::spawn(move || {
                for byte in std::io::stdin().lock().bytes() {
                    if byte.map(|byte| pressed.blocking_send(byte)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { before, keys }
    }

    /// Completes when the user wants to leave.
    pub(super) async fn quit(&mut self) {
        while let Some(key) = self.keys.recv().await {
            if matches!(key, b'q' | b'Q') {
                return;
            }
        }
        // No more keys: the interrupt is left.
        std::future::pending().await
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
