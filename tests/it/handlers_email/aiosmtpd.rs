//! A mail server that others wrote.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::*;

/// What it accepts it writes down as it came, one file each, and then says so.
const AIOSMTPD: &str = r"
import asyncio, ssl, sys, pathlib
from aiosmtpd.smtp import SMTP, AuthResult
folder = pathlib.Path(sys.argv[1])
class Store:
    n = 0
    seen = set()
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('gone'):
            return '550 5.1.1 User unknown'
        if address.startswith('grey') and address not in Store.seen:
            Store.seen.add(address)
            return '451 4.7.1 Greylisted'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        Store.n += 1
        text = '%s %s %s\n' % (session.authenticated, envelope.mail_from, ','.join(envelope.rcpt_tos))
        (folder / ('mail%d' % Store.n)).write_bytes(text.encode() + envelope.original_content)
        return '250 stored'
def log_in(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (sys.argv[2].encode(), sys.argv[3].encode())
    return AuthResult(success=good)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / 'cert.pem', folder / 'key.pem')
def session():
    return SMTP(Store(), tls_context=context, require_starttls=True, auth_required=True, authenticator=log_in)
async def main():
    server = await asyncio.get_running_loop().create_server(session, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
";

fn has_aiosmtpd() -> bool {
    let output = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd.smtp"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// The server's and another one, as `openssl req -x509` makes them: for another name, and as if they were an authority's.
fn write_certificates(folder: &std::path::Path) {
    for name in ["cert", "other"] {
        let mut params = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        if name == "cert" {
            std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        }
    }
}

#[tokio::test]
async fn aiosmtpd_takes_our_mail() {
    if !has_aiosmtpd() {
        skip("Python's `aiosmtpd` is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let mut child = Command::new("/usr/bin/python3")
        .args(["-W", "ignore", "-c", AIOSMTPD])
        .arg(folder.path())
        .args([USER, PASSWORD])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let user = USER.replace('@', "%40");
    let text = format!(
        "smtp = \"smtp://{user}@localhost:{}?tls=required\"\nca = \"cert.pem\"\n\
         password = {{ file = \"password\" }}\n{WORDS}",
        port.trim()
    );
    let mail = build("email", &text, folder.path());
    mail.handle(&[comment(1)]).await.unwrap();
    mail.handle(&[comment(2), comment(3)]).await.unwrap();
    mail.close().await;
    let other = build("email", &text.replace("cert.pem", "other.pem"), folder.path());
    let failure = other.handle(&[comment(1)]).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.text.as_str().contains("can be named in `ca`"), "{failure}");
    let readers = "to = [\"grey@example.com\", \"gone@example.com\", \"owner@example.com\"]";
    let before = "to = [\"owner@example.com\", \"second@example.com\"]";
    let mail = build("email", &text.replace(before, readers), folder.path());
    let failure = mail.handle(&[comment(4)]).await.unwrap_err();
    assert_transient(&failure);
    let failure = mail.handle(&[Delivery { attempt: 2, ..comment(4) }]).await.unwrap_err();
    assert_permanent(&failure);
    assert!(failure.text.as_str().contains("`gone@example.com` ("), "{failure}");
    mail.close().await;
    for (number, reader) in [(3, "owner@example.com"), (4, "grey@example.com")] {
        let stored = std::fs::read(folder.path().join(format!("mail{number}"))).unwrap();
        let head = format!("True gatepost@example.com {reader}\n");
        assert!(stored.starts_with(head.as_bytes()), "{number}");
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let stored = std::fs::read(folder.path().join("mail1")).unwrap();
    let (head, mail) = stored.split_at(stored.iter().position(|byte| *byte == b'\n').unwrap());
    assert_eq!(head, b"True gatepost@example.com owner@example.com,second@example.com");
    let read = MessageParser::new().parse(mail.trim_ascii_start()).unwrap();
    assert_eq!(read.subject(), Some("Comment 1"));
    assert_eq!(read.body_text(0).unwrap().trim_end(), "Grüße <b>\r\n.\r\nend");
    let stored = std::fs::read(folder.path().join("mail2")).unwrap();
    let stored = String::from_utf8(stored).unwrap();
    assert!(stored.contains("Subject: 2 events: Comment 2"), "{stored}");
}
