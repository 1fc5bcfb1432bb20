//! A transaction whose connection is used again only where it came to its end.
//!
//! sqlx gives the connection of any transaction that is dropped back to its pool. MySQL's driver does not know then
//! what the server still owes of a call that was dropped halfway: the connection waits for an answer that
//! was read, without end, or takes one call's answer for another's, and the pool is one connection shorter.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Executor, SqlSafeStr, SqlStr};

/// One that is dropped goes with its connection: the server rolls back what a client leaves behind.
pub(super) struct Transaction<DB: Database> {
    connection: PoolConnection<DB>,
    is_over: bool,
}

impl<DB: Database> Transaction<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pub(super) async fn begin(
        pool: &sqlx::Pool<DB>,
        statement: impl SqlSafeStr,
    ) -> Result<Self, sqlx::Error> {
        let mut begun = Self { connection: pool.acquire().await?, is_over: false };
        begun.execute(statement.into_sql_str()).await?;
        Ok(begun)
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.execute(statement.into_sql_str()).await?;
        self.is_over = true;
        Ok(())
    }

    async fn execute(&mut self, statement: SqlStr) -> Result<(), sqlx::Error> {
        self.connection.deref_mut().execute(statement).await.map(drop)
    }
}

impl<DB: Database> Deref for Transaction<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Transaction<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Transaction<DB> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}
