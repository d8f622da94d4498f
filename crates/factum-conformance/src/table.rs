//! The table of cases, written once: it makes [`suite`] and, in other crates, one test per case.

use crate::{Case, cases};

/// Hands the table of cases to the macro named first, with the arguments after it.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($make:ident, $($argument:tt)*) => {
        $crate::$make! { ($($argument)*)
            expect {
                events_table, settings_table, delete_table, tombstone_table, condition_table,
                condition_on_unwritten_stream, conditions_see_the_state_before,
                later_write_sees_earlier, later_write_fails_on_earlier,
            }
            conflict {
                exact_carries_later_events, no_stream_carries_readable_events,
                stream_exists_carries_none, stream_exists_says_that_it_is_gone,
                events_are_bounded, actual_is_last_revision,
                match_carries_events_and_last_position, match_events_are_bounded,
                match_names_its_condition, nothing_is_written, events_are_readable,
            }
            append {
                receipt_is_what_is_read, revisions_are_consecutive, positions_increase,
                head_is_at_least_the_receipt, many_streams_keep_batch_order,
                one_stream_twice, delete_and_rewrite_in_one_batch, write_after_tombstone_in_one_batch,
                control_receipts, kth_conflict_writes_nothing, kth_tombstone_writes_nothing,
                kth_invalid_writes_nothing, kth_condition_writes_nothing, nothing_to_write_is_refused,
                one_id_in_two_streams, id_twice_in_a_stream_is_refused, unpolled_append_is_harmless,
                each_stands_by_itself, each_of_many_is_there_once,
            }
            retry {
                every_expectation_is_replayed, after_more_events, over_many_streams,
                with_query_condition, with_stream_condition, with_control_changes,
                no_stream_after_delete_and_rewrite, beginning_of_a_batch_is_a_replay,
                longer_is_no_replay, reordered_is_no_replay, half_of_the_streams_is_no_replay,
                other_place_is_a_conflict, other_content_is_refused,
                id_in_use_is_refused, id_in_use_after_a_new_one_is_refused,
                same_id_in_another_stream, exact_that_holds_is_not_compared,
                given_time_is_not_compared, of_a_tombstoned_stream_is_deleted,
                within_the_window, concurrent_identical, concurrent_retries_of_many,
                control_changes_alone_are_not_replayed,
            }
            condition {
                types_tags_after_table, alternatives, no_items_match_nothing,
                everything_item_matches_any_event, control_records_never_match,
                hidden_events_match, own_events_do_not_count, fresh_decisions_hold,
                racing_query_decisions, racing_revisions, racing_names, capacity_is_never_exceeded,
            }
            read {
                empty_store, missing_stream, all_table, stream_table, category_table, query_table,
                revision_table, written_batches_come_back, filters_agree_with_the_oracle,
                category_is_the_part_before_the_dash, empty_query, overlapping_items_give_once,
                revision_needs_a_stream, limit_counts_what_is_given,
                is_stable_while_writing, damaged_requests_are_refused,
            }
            control {
                absent_unless_asked, details, order_in_a_stream, in_all_category_and_query,
                ids_come_from_positions, never_hidden_by_settings, by_revision_and_limit,
            }
            settings {
                max_count_table, truncate_before_table, combinations, max_age, age_and_count,
                replace_all_fields, all_hidden_is_empty, many_stream_reads_ignore_them,
                before_the_first_event, read_edges_when_truncated,
            }
            delete {
                reads_as_missing, rewriting_goes_on, settings_cannot_undo_it,
                needs_a_live_stream, is_kept_in_all, twice_with_rewrites,
            }
            tombstone {
                closes_reading_and_writing, of_a_stream_without_events, of_a_deleted_stream,
                is_kept_in_all,
            }
            payload {
                bytes_are_exact, empty_parts, every_byte_value, largest_event, all_fields,
                unicode_names, tags_keep_their_order, schema_versions, longest_names,
            }
            limit {
                data, personal, custom_metadata, metadata_fields, tags, batch_events, batch_bytes,
                batch_writes, batch_conditions, query_items, query_terms, tag_twice,
                snapshot_bytes, snapshot_key, snapshot_subjects,
            }
            time {
                never_goes_backwards, one_append_shares_it, snapshots_do_not_count, given_is_kept, before_the_last_is_refused,
                in_the_future_is_refused, order_within_a_batch,
            }
            subscribe {
                all, stream_source, category_source, query_source, from_end, after_every_position, after_every_revision,
                missing_stream_waits, beyond_the_end_waits, respects_settings, with_control,
                caught_up_once_in_its_place, checkpoints_for_filtered, checkpoints_never_lag,
                saving_checkpoints_comes_to_rest, waiting_is_woken, all_waiting_are_woken,
                tombstone_ends, tombstoned_at_once,
                delete_does_not_end, dropping_is_harmless, many_subscribers, slow_subscriber,
                requests_are_checked, agrees_with_reading,
            }
            race {
                subscribers_miss_nothing, filtered_subscribers_miss_nothing,
                stream_subscribers_miss_nothing, late_subscribers_agree, readers_see_prefixes,
                writers_read_their_writes, conflicts_leave_no_trace, batches_are_seen_whole,
                revisions_without_gaps,
            }
            streams {
                sorted_names, paged, prefix, limits, which_are_listed, info_in_each_state,
                info_follows_every_change,
            }
            snapshot {
                none, round_trip, last_saved_wins, at_most, keys_and_streams_are_apart,
                invisible_to_readers, empty_and_binary, not_from_before_a_delete, the_last_are_kept,
                subjects_are_listed, dropped,
            }
            checkpoint {
                none, round_trip, last_saved_wins, consumers_are_apart, many_positions,
                invisible_to_readers,
            }
            model {
                seed_1, seed_2, seed_3, seed_4, seed_5, seed_6, seed_7, seed_8,
            }
        }
    };
}

/// Makes the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (() $($area:ident { $($case:ident),* $(,)? })*) => {
        vec![$($(
            Case {
                name: concat!(stringify!($area), "::", stringify!($case)),
                run: cases::$area::$case,
            },
        )*)*]
    };
}

/// Makes the tests, one module per area.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($factory:expr) $($area:ident { $($case:ident),* $(,)? })*) => {
        fn conformance_factory() -> ::std::sync::Arc<dyn $crate::Factory> {
            ::std::sync::Arc::new($factory)
        }
        $(
            mod $area {
                $(
                    #[test]
                    fn $case() {
                        $crate::assert_case(
                            &super::conformance_factory(),
                            concat!(stringify!($area), "::", stringify!($case)),
                        );
                    }
                )*
            }
        )*
    };
}

/// Makes one test per case, named by area and promise, on stores of a [`Factory`](crate::Factory).
///
/// Takes an expression for the factory, evaluated once per test. To be used once in a module of a test binary.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::__each_case! { __tests, $factory }
    };
}

/// All cases, in the order of their areas.
#[must_use]
pub fn suite() -> Vec<Case> {
    crate::__each_case! { __suite, }
}
