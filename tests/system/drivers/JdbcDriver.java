// JDBC through pgweir: what applications do with it. Arguments: port, database, user, pool mode. Exits with 0 when all went well.
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class JdbcDriver {
	static String url;

	static Connection connect() throws SQLException {
		return DriverManager.getConnection(url);
	}

	static void expect(Object got, Object wanted) {
		if (!wanted.equals(got))
			throw new AssertionError("got " + got + ", wanted " + wanted);
	}

	static Object one(Connection connection, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++)
				statement.setObject(i + 1, values[i]);
			try (ResultSet rows = statement.executeQuery()) {
				return rows.next() ? rows.getObject(1) : null;
			}
		}
	}

	static void typesRoundTrip(Connection connection) throws SQLException {
		expect(one(connection, "SELECT ?::int", 42), 42);
		expect(one(connection, "SELECT ?::bigint", 1L << 40), 1L << 40);
		expect(one(connection, "SELECT ?::text", "ünï ' \\ x"), "ünï ' \\ x");
		expect(one(connection, "SELECT ?::numeric", new BigDecimal("1.50")), new BigDecimal("1.50"));
		// More often than any threshold at which the driver would prepare a statement by name.
		for (int i = 0; i < 12; i++)
			expect(one(connection, "SELECT ?::int + 1", i), i + 1);
	}

	static void transactions(Connection connection) throws SQLException {
		try (Statement statement = connection.createStatement()) {
			statement.execute("CREATE TABLE IF NOT EXISTS jdbc_t (id int PRIMARY KEY)");
			statement.execute("TRUNCATE jdbc_t");
		}
		connection.setAutoCommit(false);
		try (Statement statement = connection.createStatement()) {
			statement.executeUpdate("INSERT INTO jdbc_t VALUES (1)");
			connection.rollback();
			statement.executeUpdate("INSERT INTO jdbc_t VALUES (2)");
			java.sql.Savepoint savepoint = connection.setSavepoint();
			try {
				statement.executeUpdate("INSERT INTO jdbc_t VALUES (2)");
				throw new AssertionError("a duplicate was taken");
			} catch (SQLException error) {
				expect(error.getSQLState(), "23505");
				connection.rollback(savepoint);
			}
			connection.commit();
		}
		connection.setAutoCommit(true);
		expect(one(connection, "SELECT sum(id) FROM jdbc_t"), 2L);
	}

	static void batches(Connection connection) throws SQLException {
		connection.setAutoCommit(false);
		try (PreparedStatement statement = connection.prepareStatement("INSERT INTO jdbc_t VALUES (?)")) {
			for (int i = 100; i < 400; i++) {
				statement.setInt(1, i);
				statement.addBatch();
			}
			expect(statement.executeBatch().length, 300);
			connection.commit();
			statement.setInt(1, 1000);
			statement.addBatch();
			statement.setInt(1, 100);
			statement.addBatch();
			try {
				statement.executeBatch();
				throw new AssertionError("a duplicate was taken");
			} catch (BatchUpdateException error) {
				expect(error.getSQLState(), "23505");
				connection.rollback();
			}
		}
		connection.setAutoCommit(true);
		expect(one(connection, "SELECT count(*) FROM jdbc_t"), 301L);
	}

	static void rowsInPortions(Connection connection) throws SQLException {
		connection.setAutoCommit(false);
		long sum = 0;
		try (Statement statement = connection.createStatement()) {
			statement.setFetchSize(10);
			try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 95)")) {
				while (rows.next())
					sum += rows.getLong(1);
			}
		}
		connection.commit();
		connection.setAutoCommit(true);
		expect(sum, 95L * 96 / 2);
	}

	static void metaData(Connection connection) throws SQLException {
		try (ResultSet tables = connection.getMetaData().getTables(null, null, "jdbc_t", null)) {
			expect(tables.next(), true);
		}
		try (PreparedStatement statement = connection.prepareStatement("SELECT id, 'x'::text FROM jdbc_t")) {
			expect(statement.getMetaData().getColumnCount(), 2);
		}
	}

	static void manyAtOnce() throws Exception {
		ExecutorService workers = Executors.newFixedThreadPool(20);
		List<Future<?>> all = new ArrayList<>();
		for (int w = 0; w < 20; w++) {
			all.add(workers.submit(() -> {
				try (Connection connection = connect()) {
					for (int i = 0; i < 20; i++)
						expect(one(connection, "SELECT ?::int", i), i);
				}
				return null;
			}));
		}
		for (Future<?> each : all)
			each.get();
		workers.shutdown();
	}

	public static void main(String[] arguments) throws Exception {
		boolean session = arguments[3].equals("session");
		url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/" + arguments[1] + "?user=" + arguments[2] +
				"&sslmode=disable&prepareThreshold=" + (session ? 1 : 0);
		try (Connection connection = connect()) {
			typesRoundTrip(connection);
			transactions(connection);
			batches(connection);
			rowsInPortions(connection);
			metaData(connection);
		}
		manyAtOnce();
	}
}
