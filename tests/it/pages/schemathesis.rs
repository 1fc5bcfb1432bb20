//! The API as it describes itself, tried by schemathesis: whatever it makes up gets an answer of a form
//! that the description names, and never a failure of ours.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::{Folder, signature};
use crate::support::program::Served;
use crate::support::servers::skip;
use crate::support::wire;

/// Together some 20 s; nothing of it may take longer than a test.
const EXAMPLES_MAX: &str = "12";

#[test]
fn api_answers_whatever_schemathesis_asks_as_it_says_of_itself() {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dashboard/venv/bin/schemathesis");
    if !program.exists() {
        return skip("`schemathesis` is not installed (./test does it)");
    }
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    // Lists of nothing answer little: two events, and one with a bad signature.
    for (body, is_good) in [("{\"n\":1}", true), ("{\"n\":2}", true), ("{\"n\":3}", false)] {
        let signed = signature(if is_good { body.as_bytes() } else { b"another body" });
        let answer = wire::post(
            served.public(),
            "/hooks/hyvor",
            &[("X-Signature", &signed)],
            body.as_bytes(),
        );
        assert_eq!(answer.status, if is_good { 200 } else { 401 });
    }
    served.wait_until_delivered("all");
    let token = std::fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
    let output = Command::new(program)
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", served.admin()))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args([
            "--max-examples",
            EXAMPLES_MAX,
            "--seed",
            "1",
            "--phases",
            "examples,coverage,fuzzing",
        ])
        // An endless answer.
        .args(["--exclude-path", "/api/v1/stream"])
        .args(["--request-timeout", "10", "--no-color", "--generation-database", "none"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!served.log().contains("panicked"), "{}", served.log());
    assert_eq!(served.stop(), Some(0));
}
