#!/usr/bin/python3
"""psycopg 3 through pgweir: what applications do with it. Arguments: a conninfo, and the pool mode. Exits with 0 when all went
well; else the first thing that did not stands on stderr."""
import datetime
import decimal
import sys
import threading

import psycopg

CONNINFO, MODE = sys.argv[1], sys.argv[2]
# In transaction mode a named statement would be on another server next time: psycopg is told not to use any.
THRESHOLD = None if MODE != "session" else 1


def connect(**options):
    return psycopg.connect(CONNINFO, prepare_threshold=THRESHOLD, **options)


def expect(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def types_round_trip():
    values = (42, 2**40, "ünïcödé ' \" \\", b"\x00\xff", True, None, decimal.Decimal("1.50"), datetime.date(2024, 2, 29),
              [1, 2, None], {"a": [1, "b"]})
    with connect() as connection:
        row = connection.execute("SELECT %s::int, %s::int8, %s::text, %b::bytea, %s::bool, %s::text, %s::numeric, %s::date, "
                                 "%s::int[], %s::jsonb", values[:9] + (psycopg.types.json.Jsonb(values[9]),)).fetchone()
        expect(row, values)


def transactions_commit_and_roll_back():
    with connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS psycopg_t (id int PRIMARY KEY, v text)")
        connection.execute("TRUNCATE psycopg_t")
        connection.commit()
        with connection.transaction():
            connection.execute("INSERT INTO psycopg_t VALUES (1, 'kept')")
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO psycopg_t VALUES (2, 'lost')")
                    connection.execute("INSERT INTO psycopg_t VALUES (1, 'twice')")
            except psycopg.errors.UniqueViolation:
                pass
        expect(connection.execute("SELECT * FROM psycopg_t").fetchall(), [(1, "kept")])


def errors_are_the_servers_own():
    with connect(autocommit=True) as connection:
        for sql, error in (("SELECT 1 / 0", psycopg.errors.DivisionByZero),
                           ("SELEC", psycopg.errors.SyntaxError),
                           ("SELECT * FROM nowhere", psycopg.errors.UndefinedTable)):
            try:
                connection.execute(sql)
            except error as caught:
                expect(bool(caught.diag.message_primary), True)
            else:
                raise AssertionError(sql + " did not fail")
            expect(connection.execute("SELECT 1").fetchone(), (1,))


def copies_both_ways():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE c (a int, b text) ON COMMIT DROP")
        with cursor.copy("COPY c FROM STDIN") as copy:
            for i in range(5000):
                copy.write_row((i, "x" * (i % 50)))
        with cursor.copy("COPY (SELECT a FROM c ORDER BY a) TO STDOUT") as copy:
            expect(sum(int(row[0]) for row in copy.rows()), sum(range(5000)))
        try:
            with cursor.copy("COPY c FROM STDIN") as copy:
                copy.write(b"not a number\tx\n")
        except psycopg.errors.InvalidTextRepresentation:
            connection.rollback()
        expect(connection.execute("SELECT 1").fetchone(), (1,))


def a_pipeline_with_an_error_in_it():
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s", (i,)) for i in range(10)]
        expect([cursor.fetchone() for cursor in cursors], [(i,) for i in range(10)])
        try:
            with connection.pipeline():
                connection.execute("SELECT 1 / 0")
                connection.execute("SELECT 'never'")
        except psycopg.errors.DivisionByZero:
            pass
        else:
            raise AssertionError("the pipeline did not fail")
        expect(connection.execute("SELECT %s", ("last",)).fetchone(), ("last",))


def a_server_side_cursor():
    with connect() as connection, connection.cursor(name="rows") as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT generate_series(1, 95)")
        expect(sum(row[0] for row in cursor), 95 * 96 // 2)


def many_at_once():
    failures = []

    def work(number):
        try:
            with connect(application_name=f"worker {number}") as connection:
                for i in range(20):
                    with connection.transaction():
                        expect(connection.execute("SELECT %s, current_setting('application_name')", (i,)).fetchone(),
                               (i, f"worker {number}"))
        except Exception as error:  # shown below, in the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


for check in (types_round_trip, transactions_commit_and_roll_back, errors_are_the_servers_own, copies_both_ways,
              a_pipeline_with_an_error_in_it, a_server_side_cursor, many_at_once):
    print(check.__name__, flush=True)
    check()
