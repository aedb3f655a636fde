import { defineConfig } from 'waystation'

// The front end, in the cloud: it takes what it is granted, and only the link may publish there.
export default defineConfig({
  addr: '127.0.0.1:8082',
  dataDir: 'outside-data',
  links: [{
    server: '127.0.0.1',
    port: 5555,
    topics: ['news/*', 'prices'],
    tls: { cacertfile: 'certs/ca.pem', certfile: 'certs/edge.pem', keyfile: 'certs/edge.key' },
    prefix: '',
  }],
  rules: [
    { topics: 'news/*', publish: 'nobody', keep: { messages: 1_000, age: '1h' } },
    { topics: 'prices', publish: 'nobody', keep: { messages: 100, age: '1h' } },
  ],
})
