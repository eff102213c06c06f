// SPDX-License-Identifier: GPL-2.0

//! A sort that needs no memory and cannot panic, as those of `core` can.

/// Sorts by a key. Heap sort: what the log says decides what is to be sorted, so it must not be slow
/// for any order of that.
pub(super) fn sort<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let len = items.len();
    for root in (0..len / 2).rev() {
        sink(items, root, &key);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sink(heap, 0, &key);
        }
    }
}

/// Lets an item sink until none below it is greater.
fn sink<T, K: Ord>(heap: &mut [T], mut at: usize, key: &impl Fn(&T) -> K) {
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let value = |index: usize| heap.get(index).map(key);
        let greater = match (value(left), value(right)) {
            (Some(l), Some(r)) if r > l => right,
            (Some(_), _) => left,
            _ => return,
        };
        if value(greater) <= value(at) {
            return;
        }
        heap.swap(at, greater);
        at = greater;
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn sorts_as_core_does() {
        let mut seed = 1u32;
        for len in 0..200 {
            let mut items: Vec<(u32, usize)> = (0..len)
                .map(|index| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 28, index)
                })
                .collect();
            let mut wanted = items.clone();
            wanted.sort();
            sort(&mut items, |&item| item);
            assert_eq!(items, wanted);
        }
    }
}
