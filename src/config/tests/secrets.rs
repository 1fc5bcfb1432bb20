//! Secrets that `check` looks for, and those that were written into the file.

use super::*;

/// What `check` says of a source with this secret, and whether a server could be built of it.
fn check_secret(table: &str, secret: &str) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), secret).unwrap();
    let text = format!("[source.s]\nsecrets = [{{ file = \"k\" }}]\n{table}\n");
    let Checked { config, report, .. } =
        check_text(&text, "config.toml", folder.path(), Some(SecretRef::probe));
    let said = report.render(ReportStyle::Plain);
    let sources = config.into_iter().flat_map(|config| config.sources);
    let built: Vec<_> = sources
        .map(|(name, settings)| crate::source::Source::build(name, settings).unwrap())
        .collect();
    assert!(!said.contains(secret), "{said}");
    (said, !built.is_empty())
}

#[test]
fn secret_that_is_no_key_is_found_by_check() {
    for (provider, secret) in [
        ("svix", "polar_whs_not base64!"),
        ("standard-webhooks", "polar_whs_not+base64!"),
        ("discord", "c31e3a69fb9270077dee4796c55c31cf81cb3ad225e446459347abe17dd517"),
        ("sendgrid", "MFkwEwYHKoZIzj0CAQYI"),
    ] {
        let (said, is_built) = check_secret(&format!("provider = \"{provider}\""), secret);
        assert!(!is_built && said.contains("cannot be used"), "{said}");
    }
    let (said, _) = check_secret("provider = \"standard-webhooks\"", "polar_whs_not+base64!");
    assert!(said.contains("`verify` table with `key = \"utf8\"` in place of"), "{said}");
    let custom = "verify = { algorithm = \"hmac-sha256\", header = \"x\", key = \"hex\" }";
    let (said, _) = check_secret(custom, "xyz hunter2");
    assert!(said.contains("write `key = \"utf8\"` in the `verify` table"), "{said}");
}

#[test]
fn secret_with_a_version_in_front_is_understood() {
    let secret = "v1,whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u";
    let (said, is_built) = check_secret("provider = \"standard-webhooks\"", secret);
    assert!(is_built, "{said}");
}

#[test]
fn random_secret_is_not_made_where_it_cannot_be_used() {
    let check = |table: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[source.s]\nsecrets = [{{ file = \"k\", create = true }}]\n{table}\n");
        let Checked { config, report, .. } =
            check_text(&text, "config.toml", folder.path(), Some(SecretRef::probe));
        assert!(!folder.path().join("k").exists(), "{table}");
        (report.render(ReportStyle::Plain), config.is_some())
    };
    for table in [
        "provider = \"sendgrid\"",
        "provider = \"discord\"",
        "verify = { algorithm = \"rsa-sha256\", header = \"X-S\" }",
        "verify = { algorithm = \"ed25519\", header = \"X-S\" }",
        "verify = { algorithm = \"ecdsa-p256\", header = \"X-S\", jwt = { body_hash = \"h\" } }",
    ] {
        let (said, is_good) = check(table);
        assert!(!is_good && said.contains("the sender signs with a key of its own"), "{said}");
    }
    for (table, expected) in [
        ("verify = { algorithm = \"basic\" }", "it has no `:`"),
        ("provider = \"aws-sns\"", "it is not the ARN of a topic"),
        ("provider = \"plaid\"", "it is not `client_id:secret`"),
    ] {
        let (said, is_good) = check(table);
        assert!(is_good && said.contains(expected) && said.contains("a random one"), "{said}");
    }
    for table in [
        "provider = \"github\"",
        "provider = \"svix\"",
        "provider = \"adyen\"\nallow_unsigned_body = true",
        "verify = { algorithm = \"hmac-sha256\", header = \"X-S\", key = \"base64\" }",
    ] {
        let (said, is_good) = check(table);
        assert!(is_good && !said.contains("cannot be used"), "{said}");
    }
}

#[test]
fn secret_in_quotes_is_a_warning() {
    let (said, is_built) = check_secret("provider = \"github\"", "\"s3cr3t-value\"");
    assert!(is_built && said.contains("stands in quotes"), "{said}");
}

#[test]
fn secret_that_is_likely_to_be_something_else_is_a_warning() {
    let own = "verify = { algorithm = \"hmac-sha256\", header = \"X-S\" }";
    let basic = "verify = { algorithm = \"basic\" }";
    let twilio = "provider = \"twilio\"\nurl = \"https://site.example/hooks/s\"";
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----";
    for (table, secret, expected) in [
        ("provider = \"stripe\"", "sk_live_0123456789", "looks like an API key"),
        ("provider = \"stripe\"", "we_1MqqbKLt4dXK03v5", "looks like the endpoint's id"),
        ("provider = \"stripe\"", "we_1MqqbKLt4dXK03v5", "signing secret (`whsec_…`)"),
        ("provider = \"github\"", "ghp_0123456789", "looks like an access token"),
        ("provider = \"slack\"", "xoxb-1-2-3", "which signs no webhooks"),
        ("provider = \"aws-sns\"", "MyTopic-of-mine", "is not the ARN of a topic"),
        ("provider = \"plaid\"", "only-the-secret", "is not `client_id:secret`"),
        (basic, "only-the-password", "HTTP Basic has a name before it"),
        (own, "s3cr3t\u{feff}-value", "not seen (U+FEFF)"),
        (own, "changeme", "is a word that stands in for a secret"),
        (own, "<your-secret-here>", "is a word that stands in for a secret"),
        (own, "••••••••", "is masked, as a page shows"),
        ("provider = \"stripe\"", "whsec_****************", "is masked, as a page shows"),
        (own, "ab", "has 2 characters only: it can be guessed"),
        (own, "WEBHOOK_SECRET=s3cr3t-value", "looks like a line of an environment file"),
        (own, "export secret=s3cr3t-value", "looks like a line of an environment file"),
        (twilio, "AC0123456789abcdef0123456789abcdef", "is the account's SID"),
        (twilio, "SK0123456789abcdef0123456789abcdef", "is the SID of an API key"),
        ("provider = \"github\"", "xoxb-1-2-3456789", "an access token of Slack"),
        ("provider = \"mailgun\"\nallow_unsigned_body = true", "key-0123456789", "an API key"),
        (own, "s3cr3t\u{200b}-value", "not seen (U+200B)"),
        (own, "s3cr3t-value ", "begins or ends with a blank"),
        (own, pem, "is a key in PEM form"),
    ] {
        let (said, is_built) = check_secret(table, secret);
        assert!(is_built && said.contains(expected), "{said}");
    }
    for (table, secret) in [
        ("provider = \"stripe\"", "whsec_0123456789"),
        ("provider = \"aws-sns\"", "arn:aws:sns:us-west-2:123456789012:MyTopic"),
        (basic, "user:password"),
        (own, "sk_live_0123456789"),
        (own, "\u{feff}s3cr3t-value"),
        (own, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="),
        (twilio, "0123456789abcdef0123456789abcdef"),
    ] {
        assert!(!check_secret(table, secret).0.contains("secret 1"), "{secret}");
    }
}

#[test]
fn private_key_in_place_of_a_public_one_is_named() {
    let table = "verify = { algorithm = \"ed25519\", header = \"X-S\" }";
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----";
    assert!(check_secret(table, private).0.contains("it is a private key"));
    let of_ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    assert!(check_secret(table, of_ssh).0.contains("`ssh-keygen -e -m PKCS8"));
}

#[test]
fn secret_that_every_user_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k");
    std::fs::write(&file, "s3cr3t-value").unwrap();
    let text = "[source.s]\nsecrets = [{ file = \"k\" }]\nprovider = \"github\"\n";
    for (mode, expected) in [
        (0o644, Some("every user of this machine can read the secret file")),
        (0o602, Some("every user of this machine can change the secret file")),
        (0o640, None),
        (0o600, None),
    ] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let checked = check_text(text, "config.toml", folder.path(), Some(SecretRef::probe));
        let said = checked.report.render(ReportStyle::Plain);
        assert!(checked.config.is_some(), "{said}");
        let is_told =
            expected.is_some_and(|text| said.contains(text) && said.contains("chmod 600"));
        assert_eq!(is_told, expected.is_some(), "{mode:o}: {said}");
        assert_eq!(said.contains("every user"), expected.is_some(), "{mode:o}: {said}");
    }
}

#[test]
fn private_key_that_every_user_can_read_is_a_warning_and_a_certificate_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let text = "[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    for (mode, n_warnings) in [(0o644, 1), (0o606, 1), (0o640, 0), (0o600, 0)] {
        for (name, mode) in [("cert.pem", 0o644), ("key.pem", mode)] {
            let file = folder.path().join(name);
            std::fs::write(&file, "in PEM form").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let checked = check_text(text, "config.toml", folder.path(), Some(SecretRef::probe));
        let said = checked.report.render(ReportStyle::Plain);
        assert_eq!(said.matches("every user of this machine can").count(), n_warnings, "{said}");
        assert_eq!(said.contains("key.pem'`, as the user"), n_warnings == 1, "{mode:o}: {said}");
    }
}

#[test]
fn folder_in_place_of_a_key_is_named_as_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    for name in ["cert.d", "key.d"] {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        // Without the right to enter it, nothing in it could be read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for text in [
        "[server.tls]\ncert = \"cert.d\"\nkey = \"key.d\"\n",
        "[source.s]\nsecrets = [{ file = \"key.d\" }]\nprovider = \"github\"\n",
    ] {
        let checked = check_text(text, "config.toml", folder.path(), Some(SecretRef::probe));
        let said = checked.report.render(ReportStyle::Plain);
        let advice = format!(
            "that is a folder: write which file in it, as `{}/key.d/NAME`",
            folder.path().display()
        );
        assert!(said.contains(&advice) && !said.contains("chmod"), "{said}");
    }
}

#[test]
fn variable_in_a_path_of_a_secret_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["${HOME}/x", "$HOME/x"] {
        let text =
            format!("[source.s]\nsecrets = [{{ file = \"{path}\" }}]\nprovider = \"github\"\n");
        let checked = check_text(&text, "config.toml", folder.path(), Some(SecretRef::probe));
        let said = checked.report.render(ReportStyle::Plain);
        assert!(said.contains("no variable is read in a path: write the path itself"), "{said}");
    }
}

#[test]
fn credential_of_the_service_is_a_note_where_another_process_looks() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[source.s]\nsecrets = [{ credential = \"k\" }]\nprovider = \"svix\"\n";
    let probes: [(Probe, _); 2] = [(SecretRef::probe_outside, true), (SecretRef::probe, false)];
    for (probe, is_good) in probes {
        let checked = check_text(text, "config.toml", folder.path(), Some(probe));
        let said = checked.report.render(ReportStyle::Plain);
        assert_eq!(checked.config.is_some(), is_good, "{said}");
        assert_eq!(said.contains("there for the service alone"), is_good, "{said}");
    }
}

#[test]
fn secret_that_is_yet_to_be_made_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[source.s]\nsecrets = [{ file = \"k\", create = true }]\nprovider = \"svix\"\n";
    let checked = check_text(text, "config.toml", folder.path(), Some(SecretRef::probe));
    assert!(checked.config.is_some());
    assert!(!folder.path().join("k").exists(), "checking makes nothing");
}

#[test]
fn a_secret_that_was_written_into_the_file_is_shown_nowhere() {
    let secret = "hunter2-hunter2";
    let in_source = |line: &str| {
        let text = SMALL.replace("secrets = [{ env = \"A\" }]", line);
        assert_ne!(text, SMALL);
        text
    };
    let in_handler = |lines: &str| format!("{SMALL}[handler.app]\n{lines}\n");
    for text in [
        in_source(&format!("secret = \"{secret}\"")),
        in_source(&format!("secrets = \"{secret}\"")),
        in_source(&format!("secrets = [\"{secret}\"]")),
        in_source(&format!("secrets = [{{ value = \"{secret}\" }}]")),
        in_source(&format!("secrets = [{{ text = '{secret}' }}]")),
        in_source(&format!("secrets = [{{ env = \"A\" }}]\npassword = \"{secret}\"")),
        in_source(&format!("secrets = [{{ env = \"A\" }}]\napi_key = {{ x = [\"{secret}\"] }}")),
        in_source(&format!("secret = \"{secret}")),
        in_source(&format!("secrets = [{{ value = {secret} }}")),
        in_source(&format!("secrets = [{{ env = \"A\" }}]\nverify_token = \"{secret}\"")),
        in_handler(&format!(
            "command.run = [\"/bin/x\"]\ncommand.env = {{ K = {{ value = \"{secret}\" }} }}"
        )),
        in_handler(&format!("http.url = \"http://127.0.0.1/\"\nhttp.secret = \"{secret}\"")),
        in_handler(&format!(
            "http.url = \"http://127.0.0.1/\"\nhttp.headers = {{ Authorization = {{ secret = \
             \"{secret}\" }} }}"
        )),
        in_handler(&format!("email.smtp = \"smtp://h\"\nemail.password = \"{secret}\"")),
    ] {
        let checked = check(&text);
        assert!(checked.report.counts().0 > 0, "{text}");
        let entries = serde_json::to_string(&checked.report.entries()).unwrap();
        for told in
            [checked.report.render(ReportStyle::Plain), entries, format!("{:?}", checked.config)]
        {
            assert!(!told.contains("hunter2"), "{text}\n{told}");
        }
    }
}
