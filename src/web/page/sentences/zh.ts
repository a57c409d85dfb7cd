/** The sentences of the studio page in simplified Chinese. Whatever English has and this lacks does not compile. */
import { buttons, credits, duration, help, jobs, labels, status } from '../../../bot/sentences/words-zh.ts';
import type { Sentences } from './say.ts';

export const zh: Sentences = {
  buttons,
  credits,
  duration,
  help,
  jobs,
  labels,
  status,

  shell: {
    skip: '跳到正文',
    navigation: '主导航',
    create: '创作',
    library: '作品库',
    machine: '机器',
    account: '账户',
    signIn: '登录',
    language: '语言',
    languages: { en: 'English', zh: '中文' },
    theme: '主题',
    themes: { system: '跟随系统', light: '浅色', dark: '深色' },
    loading: '加载中…',
    unreachable: '连不上 Kinora。已接受的任务会继续，本页会自动重试。',
    back: 'Kinora 恢复了。',
    notFound: '没有这个页面',
    notFoundHint: '地址可能写错了，或者内容已经不在了。',
    toCreate: '去创作',
    signedOut: '请先登录',
    signedOutHint:
      '在 Discord 或 Telegram 里给 Kinora 发送 /web，然后打开它回复的链接。在本机上，npm start 会显示一个链接。',
    progressTitle: (percent, page) => `${percent}% · ${page}`,
    close: '关闭',
    retry: '重试',
  },

  errors: {
    unknown: '出了点问题，请再试一次；如果再次发生，请告诉这个 Kinora 的管理员。',
    unreachable: '连不上 Kinora。什么都没有丢失，请稍后再试。',
    signedOut: '你已退出登录，请重新登录后继续。',
    crashed: '页面停止了运行',
    crashedHint: '已接受的任务会在服务器上继续。请重新加载页面。',
    reload: '重新加载',
  },

  library: { title: '作品库' },
  machine: { title: '机器' },
  account: { title: '账户' },
  signIn: { title: '登录' },
  create: { title: '创作' },
};
