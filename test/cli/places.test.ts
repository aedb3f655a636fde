import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findPlaces, placesIn } from '../../src/cli/places.ts'
import { temporaryFolder } from '../support/certificates.ts'

test('the data folder of a hub is that of the flag, the environment, the configuration file, or the default, in this order', async (t) => {
  const cwd = temporaryFolder(t)
  const folder = async (own: Record<string, string>, env: NodeJS.ProcessEnv): Promise<string> => (await findPlaces(own, { env, cwd })).folder
  assert.equal(await folder({}, {}), join(cwd, 'waystation-data'))
  writeFileSync(join(cwd, 'waystation.config.json'), '{ "dataDir": "in-file", "addr": 7 }')
  writeFileSync(join(cwd, 'other.json'), '{ "dataDir": "/in/other" }')
  assert.equal(await folder({}, {}), join(cwd, 'in-file'))
  assert.equal(await folder({ config: 'other.json' }, { WAYSTATION_CONFIG: 'nothing.json' }), '/in/other')
  assert.equal(await folder({}, { WAYSTATION_CONFIG: 'other.json' }), '/in/other')
  writeFileSync(join(cwd, 'waystation.config.json'), 'broken')
  assert.equal(await folder({}, { WAYSTATION_DATA_DIR: 'in-env' }), join(cwd, 'in-env'))
  assert.equal(await folder({ 'data-dir': 'flag' }, { WAYSTATION_DATA_DIR: 'in-env' }), join(cwd, 'flag'))
  await assert.rejects(folder({}, {}), /waystation\.config\.json: /)
})

test('the files of a service are in the data folder, unless they are named', () => {
  assert.deepEqual(placesIn('data', {}, '/srv'), { folder: '/srv/data', pid: '/srv/data/waystation.pid', log: '/srv/data/waystation.log' })
  assert.deepEqual(placesIn('/data', { 'pid-file': 'a.pid', 'log-file': '/var/log/a' }, '/srv'), { folder: '/data', pid: '/srv/a.pid', log: '/var/log/a' })
})
