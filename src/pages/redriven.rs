//! What came of a redrive: that letters are due again is not yet what their owner wants to know.

use super::fields::Fields;
use super::frame::Done;
use super::widgets::{Sign, Ticked};
use super::words;
use crate::api::{Api, ApiError, Redriven};

/// Adds to what a change did what became of the letters that it redrove.
pub(super) async fn tell(
    api: &Api,
    fields: &Fields,
    done: Option<&mut Done>,
) -> Result<(), ApiError> {
    let (Some(done), Some(name)) = (done, fields.get("done")) else { return Ok(()) };
    let Some(redriven) = api.redriven(name).await? else { return Ok(()) };
    done.outcome = Ticked::new(&outcome(&redriven), 200);
    if redriven.failed + redriven.tried_again > 0 {
        done.sign = Sign::Bad;
    } else if redriven.under_way > 0 {
        done.sign = Sign::Wait;
    }
    Ok(())
}

/// As in `408 delivered, 3 failed again, 1 skipped`.
fn outcome(redriven: &Redriven) -> String {
    let Redriven { looked_at, delivered, skipped, failed, tried_again, under_way } = *redriven;
    let parts = [
        (delivered, "delivered"),
        (failed, "failed again"),
        (tried_again, "failed and will be tried again"),
        (skipped, "skipped"),
        (under_way, "not tried yet"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> =
        parts.map(|(count, what)| format!("{} {what}", words::count(count))).collect();
    if parts.is_empty() {
        return String::new();
    }
    let of = if looked_at < 100 { String::new() } else { "of the first 100: ".to_owned() };
    format!("{of}{}", parts.join(", "))
}
