//! A real Chromium, spoken to by the `DevTools` protocol over two pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::clock::Stopwatch;
use rustix::fs::{CWD, Mode};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::servers::{find, skip};

/// How long its helpers may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// A browser with one tab. Whatever a page complains of is kept.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    next: u64,
    session: String,
    /// Errors of the console, of the policy and of the network.
    pub(crate) complaints: Vec<String>,
    _folder: TempDir,
}

impl Browser {
    /// `None` where none is installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = find("chromium") else {
            skip("`chromium` is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("to"), folder.path().join("from"));
        for pipe in [&input, &output] {
            rustix::fs::mkfifoat(CWD, pipe, Mode::RUSR | Mode::WUSR).unwrap();
        }
        let child = Command::new("sh")
            .arg("-c")
            .arg("exec \"$0\" \"$@\" 3<to 4>from")
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--remote-debugging-pipe", "--user-data-dir=profile", "about:blank"])
            .current_dir(folder.path())
            .process_group(0)
            .env("HOME", folder.path())
            // Chromium leaves folders of its own behind.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(input).unwrap();
        let from = BufReader::new(File::open(output).unwrap());
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Self { child, to, from, next: 0, session, complaints, _folder: folder };
        browser.open_tab();
        Some(browser)
    }

    fn open_tab(&mut self) {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().unwrap().clone_into(&mut self.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            self.call(domain, &json!({}));
        }
        self.size(1280, 900);
    }

    /// Makes the window as large as this.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Light or dark.
    pub(crate) fn theme(&mut self, theme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// Turns JavaScript of pages off or on.
    pub(crate) fn scripts(&mut self, are_on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !are_on }));
    }

    /// Goes to an address, and waits until the page is there.
    pub(crate) fn go(&mut self, url: &str) {
        self.eval("window.isLeft = true");
        let gone = self.call("Page.navigate", &json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        self.wait_for_load();
    }

    /// Clicks what a person would see under this name: a button or link with this text. Waits for the
    /// page that it leads to.
    pub(crate) fn click(&mut self, text: &str) {
        let found = self.eval(&format!(
            "(() => {{ const all = [...document.querySelectorAll('a,button')]; \
             const one = all.find(one => one.textContent.trim() === {0}) || \
             all.find(one => one.textContent.trim().startsWith({0})); \
             if (!one) return false; window.isLeft = true; one.click(); return true; }})()",
            Value::from(text)
        ));
        assert_eq!(found, true, "no `{text}` on {}", self.text());
        self.wait_for_load();
    }

    /// Types into the field that `selector` finds.
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        let found = self.eval(&format!(
            "(() => {{ const one = document.querySelector({}); if (!one) return false; \
             one.value = {}; return true; }})()",
            Value::from(selector),
            Value::from(text)
        ));
        assert_eq!(found, true, "no `{selector}`");
    }

    /// Sends the form that `selector` finds, as the Enter key does.
    pub(crate) fn send(&mut self, selector: &str) {
        let selector = Value::from(selector);
        self.eval(&format!(
            "window.isLeft = true; document.querySelector({selector}).requestSubmit()"
        ));
        self.wait_for_load();
    }

    /// Runs scripts of which the last one leads to another page, and waits for that.
    pub(crate) fn press_to_leave(&mut self, scripts: &[&str]) {
        self.eval("window.isLeft = true");
        for script in scripts {
            self.eval(script);
        }
        self.wait_for_load();
    }

    /// The page's text as it is shown.
    pub(crate) fn text(&mut self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The path and query of the page.
    pub(crate) fn path(&mut self) -> String {
        self.eval("location.pathname + location.search").as_str().unwrap().to_owned()
    }

    /// The value of a script of ours, also where those of pages are off.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let ask = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &ask);
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// A picture of the page as a PNG file.
    pub(crate) fn picture(&mut self, path: &Path) {
        let taken = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let png = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, png).unwrap();
    }

    /// Waits until another page is there. Between two pages there is nothing to ask.
    fn wait_for_load(&mut self) {
        let is_there = "!window.isLeft && document.readyState === 'complete'";
        let ask = json!({ "expression": is_there, "returnByValue": true });
        while self.try_call("Runtime.evaluate", &ask)["result"]["result"]["value"] != true {}
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.try_call(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn try_call(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        let id = self.next;
        loop {
            let answer = self.read();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        bytes.pop().expect("the browser lives");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.complaints.push(params.to_string());
            }
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers write into the profile, also once it is gone.
        let Some(group) = Pid::from_raw(self.child.id().try_into().unwrap()) else { return };
        kill_process_group(group, Signal::KILL).ok();
        drop(self.child.wait());
        let began = Stopwatch::start();
        while test_kill_process_group(group).is_ok() && began.elapsed() < ENDED_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
