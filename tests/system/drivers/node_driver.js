// node-postgres through pgweir: what applications do with it. Arguments: port, database, user. Exits with 0 when all went well.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');

const [port, database, user] = process.argv.slice(2);
const options = { host: '127.0.0.1', port: Number(port), database, user, application_name: 'node' };

async function parametersAndTypes(client) {
	const { rows } = await client.query('SELECT $1::int AS i, $2::text AS t, $3::bool AS b, $4::jsonb AS j, $5::int[] AS a',
		[42, "ünï ' \\ x", true, { k: [1, 'v'] }, [1, 2, 3]]);
	assert.deepStrictEqual(rows, [{ i: 42, t: "ünï ' \\ x", b: true, j: { k: [1, 'v'] }, a: [1, 2, 3] }]);
}

async function transactions(client) {
	await client.query('CREATE TABLE IF NOT EXISTS node_t (id int PRIMARY KEY)');
	await client.query('TRUNCATE node_t');
	await client.query('BEGIN');
	await client.query('INSERT INTO node_t VALUES ($1)', [1]);
	await client.query('ROLLBACK');
	await client.query('BEGIN');
	await client.query('INSERT INTO node_t VALUES ($1)', [2]);
	await client.query('COMMIT');
	assert.deepStrictEqual((await client.query('SELECT id FROM node_t')).rows, [{ id: 2 }]);
}

async function errors(client) {
	await assert.rejects(client.query('SELECT 1 / $1::int', [0]), { code: '22012' });
	await assert.rejects(client.query('SELEC'), { code: '42601' });
	assert.strictEqual((await client.query('SELECT 1 AS one')).rows[0].one, 1);
}

async function severalStatements(client) {
	const results = await client.query('SELECT 1 AS a; SELECT 2 AS b');
	assert.deepStrictEqual(results.map((result) => Object.values(result.rows[0])[0]), [1, 2]);
}

async function manyAtOnce() {
	const pool = new Pool({ ...options, max: 20 });
	const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => pool.query('SELECT $1::int AS i', [i])));
	answers.forEach((answer, i) => assert.strictEqual(answer.rows[0].i, i));
	await pool.end();
}

async function main() {
	const client = new Client(options);
	await client.connect();
	for (const check of [parametersAndTypes, transactions, errors, severalStatements]) {
		console.log(check.name);
		await check(client);
	}
	await client.end();
	console.log(manyAtOnce.name);
	await manyAtOnce();
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
