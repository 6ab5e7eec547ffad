//! Debian's Chromium without a window, driven through its DevTools protocol over two pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine;
use serde_json::{Value, json};

use crate::process::{PATIENCE, eventually};

/// Where Debian, and most others, have it.
const NAMES: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// `light` or `dark`.
    pub(crate) scheme: &'static str,
}

/// A browser with one page; killed when dropped.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What the console and the log complained of since the last page was opened.
    complaints: Vec<String>,
}

impl Browser {
    /// `None` where there is no Chromium.
    pub(crate) fn start(profile: &Path) -> Option<Self> {
        let program = NAMES.iter().map(PathBuf::from).find(|path| path.exists())?;
        // It reads commands from descriptor 3 and writes to 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]).arg(program);
        command.args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking"]);
        command.args(["--force-color-profile=srgb", "--font-render-hinting=none"]);
        command.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh starts");
        let commands = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("DevTools speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { child, commands, messages, session: None, last: 0, complaints: Vec::new() };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = Some(attached["sessionId"].as_str().expect("a session has an id").to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Opens an address and waits until all that it names is there.
    pub(crate) fn open(&mut self, url: &str, look: Look) {
        let Look { width, height, scheme } = look;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
        self.complaints.clear();
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        eventually(&format!("{url} is loaded"), || {
            (self.evaluate("document.readyState + location.href") == format!("complete{url}")).then_some(())
        });
    }

    /// What an expression gives.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let given = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(given["exceptionDetails"].is_null(), "{expression}: {given}");
        given["result"]["value"].clone()
    }

    /// Presses and lets go of a key.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The page as it is seen, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let taken = self.call("Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false}));
        let text = taken["data"].as_str().expect("a picture is base64");
        base64::engine::general_purpose::STANDARD.decode(text).expect("a picture is base64")
    }

    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // An answer comes after all that was said before.
        self.evaluate("0");
        self.complaints.clone()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).expect("the browser runs");
        loop {
            let heard = self.messages.recv_timeout(PATIENCE);
            let heard = heard.unwrap_or_else(|e| panic!("the browser answers {method}: {e}"));
            if heard["id"] == self.last {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.note(&heard);
        }
    }

    fn note(&mut self, heard: &Value) {
        let parameters = &heard["params"];
        let complains = match heard["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert")),
            "Log.entryAdded" => matches!(parameters["entry"]["level"].as_str(), Some("error" | "warning")),
            _ => false,
        };
        if complains {
            self.complaints.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
