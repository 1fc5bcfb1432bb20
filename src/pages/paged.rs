//! Lists that are longer than a page: where the next one begins is in the address.

use super::fields::{Fields, address};

/// What a page leaves out behind itself.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) n_more: usize,
    pub(super) address: String,
}

/// The rows of `all` behind the one that `after` names, at most `rows_max`, and what is behind them. A name that is
/// gone begins anew.
pub(super) fn page<'a, 'b, T>(
    (all, name): (&'a [&'b T], fn(&T) -> &str),
    (path, fields): (&str, &Fields),
    rows_max: usize,
) -> (&'a [&'b T], Option<Rest>) {
    let after = fields.get("after");
    let place = after.and_then(|after| all.iter().position(|one| name(one) == after));
    let behind = all.get(place.map_or(0, |place| place + 1)..).unwrap_or_default();
    let rows = behind.get(..rows_max.min(behind.len())).unwrap_or_default();
    let n_more = behind.len() - rows.len();
    let rest = rows.last().filter(|_| n_more > 0);
    let rest = rest.map(|last| Rest { n_more, address: address(path, [("after", name(last))]) });
    (rows, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_leads_to_the_next_until_all_were_shown() {
        let all: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
        let shown = |query: &str| {
            let fields = Fields::parse(query);
            let all: Vec<&String> = all.iter().collect();
            let (rows, rest) = page((&all, |one| one.as_str()), ("/sources", &fields), 3);
            let rest = rest.map(|rest| (rest.n_more, rest.address));
            (rows.first().map(|one| (*one).clone()), rows.len(), rest)
        };
        assert_eq!(
            shown(""),
            (Some("n0".to_owned()), 3, Some((4, "/sources?after=n2".to_owned())))
        );
        assert_eq!(
            shown("after=n2"),
            (Some("n3".to_owned()), 3, Some((1, "/sources?after=n5".to_owned())))
        );
        assert_eq!(shown("after=n5"), (Some("n6".to_owned()), 1, None));
        assert_eq!(shown("after=n6"), (None, 0, None));
        assert_eq!(shown("after=gone").0, Some("n0".to_owned()));
    }
}
