//! Amounts of memory, as Redis writes them: `64mb`.

/// A number, and what its unit stands for: `k` is a thousand, `kb` 1024. `None` if there is no such unit.
pub(crate) fn split(text: &str) -> Option<(&str, u64)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    Some((number, factor))
}
