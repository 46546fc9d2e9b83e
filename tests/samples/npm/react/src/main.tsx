import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { connect, type NewMail } from 'exmail-bridge-client';

function Inbox() {
  const [unread, setUnread] = useState<number | null>(null);
  const [mails, setMails] = useState<NewMail[]>([]);
  useEffect(() => {
    const mail = connect({ url: '/exmail/', shared: false, title: true });
    mail.on('unread', setUnread);
    mail.on('mail', (data) => setMails((before) => [...before, data]));
    return () => mail.close();
  }, []);
  return (
    <>
      <b id="unread">{unread}</b>
      <ul>
        {mails.map((each) => (
          <li key={each.mail_id}>{each.mail_id}</li>
        ))}
      </ul>
    </>
  );
}

createRoot(document.querySelector('#app')!).render(
  <StrictMode>
    <Inbox />
  </StrictMode>,
);
