//! The tables in PostgreSQL: made once, by whoever comes first.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreErrorKind as Kind};
use sqlx::{PgPool, Row as _};
use webhook_fleet_tests::calls::{claimed, done, new_claim};
use webhook_fleet_tests::postgres::{Postgres, store as store_of, url};

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

const TABLE: &str =
    include_str!("../../../crates/dataflow-webhooks-sqlx/migrations/postgres/0001_dedup.sql");

async fn sql(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn versions(pool: &PgPool) -> i64 {
    let query = sqlx::query("SELECT count(*) FROM dataflow_webhooks_migrations");
    query.fetch_one(pool).await.unwrap().get(0)
}

/// Runs this on several stores at once, each with a pool of its own.
async fn at_once(url: &str, table_by_hand: bool) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let store = store_of(url, "orders").await;
        tasks.spawn(async move {
            if table_by_hand && number % 2 == 0 {
                // It may fail at the other's creation, as anything by hand may.
                let _ = sqlx::raw_sql(TABLE).execute(store.pool()).await;
            }
            // So many at once may have no connection in time.
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                match store.migrate().await {
                    Err(error) if error.kind() == Kind::TimedOut && Instant::now() < end => {}
                    migrated => return migrated,
                }
            }
        });
    }
    for migrated in tasks.join_all().await {
        migrated.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_migrate_at_once() {
    for _ in 0..5 {
        let store = SERVER.store_without_table().await;
        at_once(&url(&store), false).await;
        assert_eq!(versions(store.pool()).await, 2);
        new_claim(&store, "evt_1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_by_hand_at_the_same_time_does_no_harm() {
    for _ in 0..5 {
        let store = SERVER.store_without_table().await;
        at_once(&url(&store), true).await;
        new_claim(&store, "evt_1").await;
    }
}

#[tokio::test]
async fn migrating_again_keeps_the_records() {
    let store = SERVER.store_without_table().await;
    store.migrate().await.unwrap();
    done(&store, "evt_1").await;
    store.migrate().await.unwrap();
    assert_eq!(claimed(&store, "evt_1").await, dataflow_webhooks::dedup::ClaimOutcome::Done);
    assert_eq!(versions(store.pool()).await, 2);
}

#[tokio::test]
async fn a_table_made_by_hand_serves() {
    let store = SERVER.store_without_table().await;
    sql(store.pool(), TABLE).await;
    done(&store, "evt_1").await;
}

/// A new database, as its owner and as a user who may make nothing in it, and that user's name.
async fn owner_and_limited() -> (PostgresStore, PostgresStore, String) {
    let database = SERVER.create_database();
    let owner = store_of(&SERVER.url_of("postgres", &database), "orders").await;
    let user = format!("user_of_{database}");
    let create = format!("CREATE ROLE {user} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    sql(owner.pool(), &create).await;
    let limited = store_of(&SERVER.url_of(&user, &database), "orders").await;
    (owner, limited, user)
}

/// Lets a user do what the store does, and nothing else.
async fn grant(owner: &PostgresStore, user: &str) {
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    sql(owner.pool(), &format!("GRANT {rights} ON dataflow_webhooks_dedup TO {user}")).await;
}

#[tokio::test]
async fn who_may_only_read_and_write_can_migrate_a_migrated_database() {
    let (owner, limited, user) = owner_and_limited().await;
    assert_eq!(limited.migrate().await.unwrap_err().kind(), Kind::AccessDenied);
    owner.migrate().await.unwrap();
    assert_eq!(limited.migrate().await.unwrap_err().kind(), Kind::AccessDenied);
    grant(&owner, &user).await;
    limited.migrate().await.unwrap();
    done(&limited, "evt_1").await;
}

#[tokio::test]
async fn who_may_only_read_and_write_can_migrate_a_table_made_by_hand() {
    let (owner, limited, user) = owner_and_limited().await;
    sql(owner.pool(), TABLE).await;
    grant(&owner, &user).await;
    limited.migrate().await.unwrap();
    done(&limited, "evt_1").await;
    // One of another form would not serve.
    sql(owner.pool(), "ALTER TABLE dataflow_webhooks_dedup DROP COLUMN lease_until").await;
    assert_eq!(limited.migrate().await.unwrap_err().kind(), Kind::AccessDenied);
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let store = SERVER.store_without_table().await;
    store.migrate().await.unwrap();
    sql(store.pool(), "INSERT INTO dataflow_webhooks_migrations VALUES (1000, 0)").await;
    store.migrate().await.unwrap();
    done(&store, "evt_1").await;
}
