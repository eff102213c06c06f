// SPDX-License-Identifier: GPL-2.0

//! All tests of libxfs on the host, in one program: what they have in common is compiled once, and
//! they run side by side.

mod acl;
mod allocator;
mod attr_changes;
mod bmap_load;
mod btree_changes;
mod btree_model;
mod btrees;
mod check;
mod check_repair;
mod check_states;
mod contents;
mod dahash;
mod data_ops;
mod dir_changes;
mod extents;
mod extents_edit;
mod fixtures;
mod fork_changes;
mod format_units;
mod header_rules;
mod inode_changes;
mod inode_encode;
mod inodes;
mod log_items;
mod log_logprint;
mod log_records;
mod log_recovery;
mod log_state;
mod lone_inode;
mod metadata_files;
mod mutate_tool;
mod mutations;
mod names;
mod names_ops;
mod names_synthetic;
mod names_verifiers;
mod no_memory;
mod operation_faults;
mod power_cuts;
mod reservations;
mod share_ops;
mod space;
mod space_changes;
mod space_queries;
mod symlink_changes;
mod totals;
mod transactions;
mod walk;
mod xfs_db_headers;
